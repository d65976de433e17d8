#!/usr/bin/env python3
"""The official Python client with schemas: publishes values of Avro and JSON schemas, each on a topic of its own.

Usage: python_schemas.py SERVICE_URL; prints the topics, one a line.
"""
import enum
import sys

import pulsar
from pulsar.schema import (
    Array,
    AvroSchema,
    Boolean,
    Bytes,
    CustomEnum,
    Double,
    Float,
    Integer,
    JsonSchema,
    Long,
    Map,
    Record,
    String,
    StringSchema,
)


class Color(enum.Enum):
    RED = 1
    GREEN = 2


class Item(Record):
    name = String()
    count = Integer()


class Order(Record):
    id = Long(required=True)
    text = String(default="none")
    paid = Boolean()
    ratio = Float()
    price = Double()
    color = CustomEnum(Color)
    item = Item()
    items = Array(Item())
    numbers = Array(Integer())
    labels = Map(String())


class Blob(Record):
    data = Bytes()


class First(Record):
    a = Integer()


class Second(Record):
    b = String()
    a = Integer()


def orders():
    item = Item(name="i", count=-1)
    yield Order(
        id=2**53 + 1,
        text="Grüße 🌍",
        paid=True,
        ratio=0.5,
        price=0.1,
        color=Color.GREEN,
        item=item,
        items=[item, Item(count=2)],
        numbers=[1, -1],
        labels={"k": "v", "": "ü"},
    )
    yield Order(id=-(2**63))


def main():
    logger = pulsar.FileLogger(pulsar.LoggerLevel.Warn, "/dev/stderr")
    client = pulsar.Client(sys.argv[1], operation_timeout_seconds=15, logger=logger)

    def send(topic, schema, values):
        producer = client.create_producer(topic, schema=schema, batching_enabled=False)
        for value in values:
            producer.send(value)
        producer.close()

    send("python-avro", AvroSchema(Order), orders())
    send("python-json", JsonSchema(Order), orders())
    send("python-avro-bytes", AvroSchema(Blob), [Blob(data=b"\xff\x00"), Blob()])
    send("python-string", StringSchema(), ["Grüße 🌍"])
    send("python-avro-evolution", AvroSchema(First), [First(a=1)])
    send("python-avro-evolution", AvroSchema(Second), [Second(a=2, b="b")])
    client.close()
    for topic in ("python-avro", "python-json", "python-avro-bytes", "python-string", "python-avro-evolution"):
        print(topic)


main()
