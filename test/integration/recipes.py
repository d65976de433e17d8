# Runs a recipe of the documentation, from stdin, for each topic that is named, and prints the rows of its `orders` as JSON
# lines: what engines call one and the same thing by different types becomes one text.
import json
import math
import sys
from decimal import Decimal

NAMES = ["id", "date", "partition", "key", "properties", "value", "valueBase64", "isTombstone", "amount"]


def dicts(frame):
    kind = type(frame).__module__.split(".")[0]
    if kind in ("duckdb", "_duckdb"):
        return [dict(zip(frame.columns, row)) for row in frame.fetchall()]
    if kind == "pandas":
        return frame.to_dict("records")
    if kind == "polars":
        return frame.to_dicts()
    if kind == "pyarrow":
        return frame.to_pylist()
    return [row.asDict() for row in frame.collect()]


def plain(name, value):
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return {} if name == "properties" else None
    if name == "properties":
        return json.loads(value) if isinstance(value, str) else dict(value)
    if name == "isTombstone":
        return bool(value)
    if name == "amount":
        return f"{Decimal(value):.2f}"
    return str(value)


def on_empty_day(frame):
    # Engines that read late prune by the date: nothing is left to read then.
    if hasattr(frame, "filter") and type(frame).__module__.split(".")[0] in ("duckdb", "_duckdb", "pyspark"):
        return len(dicts(frame.filter("date = DATE '2026-11-22'")))
    return sum(str(row["date"]) == "2026-11-22" for row in dicts(frame))


recipe = sys.stdin.read()
for topic in sys.argv[1:]:
    found = {}
    exec(compile(recipe.replace("public/default/orders", topic), "recipe", "exec"), found)
    print(json.dumps({"emptyDay": on_empty_day(found["orders"])}))
    for row in dicts(found["orders"]):
        print(json.dumps({"topic": topic} | {name: plain(name, row[name]) for name in NAMES if name in row}))
