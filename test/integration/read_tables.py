# Prints the rows of Parquet files, as one engine reads them: JSON lines in which nothing is rounded. Integers and decimals
# are texts, bytes are Base64, times are ISO 8601 in UTC, maps are objects.
import base64
import datetime
import decimal
import json
import os
import sys
import time

# Spark gives times in the zone of the machine.
os.environ['TZ'] = 'UTC'
time.tzset()
engine, folder = sys.argv[1], sys.argv[2]
pattern = folder + '/**/*.parquet'


def plain(value):
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, (bytes, bytearray)):
        return {'base64': base64.b64encode(bytes(value)).decode()}
    if isinstance(value, float):
        return {'float': repr(value)}
    if isinstance(value, (int, decimal.Decimal)):
        return {'number': str(value)}
    if isinstance(value, datetime.datetime):
        utc = value if value.tzinfo is None else value.astimezone(datetime.timezone.utc)
        return {'time': utc.replace(tzinfo=None).isoformat(timespec='microseconds')}
    if isinstance(value, datetime.date):
        return {'date': value.isoformat()}
    if isinstance(value, dict):
        return {str(name): plain(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        pairs = as_map(value)
        return [plain(one) for one in value] if pairs is None else pairs
    return value


def as_map(value):
    """Maps come as dicts, as pairs, or as records of key and value; an empty one as an empty list."""
    if all(isinstance(one, tuple) and len(one) == 2 for one in value):
        return {one[0]: plain(one[1]) for one in value}
    if all(isinstance(one, dict) and list(one) == ['key', 'value'] for one in value):
        return {one['key']: plain(one['value']) for one in value}
    return None


def rows():
    if engine == 'pyarrow':
        import pyarrow.dataset as dataset

        for row in dataset.dataset(folder, format='parquet', partitioning='hive').to_table().to_pylist():
            yield row
    elif engine == 'duckdb':
        import duckdb

        connection = duckdb.connect()
        connection.execute("SET TimeZone = 'UTC'")
        cursor = connection.execute(f"SELECT * FROM read_parquet('{pattern}')")
        names = [one[0] for one in cursor.description]
        for row in cursor.fetchall():
            yield dict(zip(names, row))
    elif engine == 'polars':
        import polars

        for row in polars.scan_parquet(pattern, hive_partitioning=True).collect().to_dicts():
            yield row
    elif engine == 'spark':
        from pyspark.sql import SparkSession

        session = (
            SparkSession.builder.master('local[1]')
            .config('spark.ui.enabled', 'false')
            .config('spark.driver.host', '127.0.0.1')
            .config('spark.driver.bindAddress', '127.0.0.1')
            .config('spark.sql.session.timeZone', 'UTC')
            .config('spark.driver.memory', '1g')
            .getOrCreate()
        )
        session.sparkContext.setLogLevel('ERROR')
        table = session.read.option('recursiveFileLookup', 'true').parquet(folder)
        for row in table.collect():
            yield row.asDict(recursive=True)
    else:
        raise SystemExit(f'no engine {engine}')


for row in rows():
    row.pop('date', None)
    print(json.dumps(plain(row), ensure_ascii=False))
