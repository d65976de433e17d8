#!/usr/bin/env python3
"""The official Python client with schemas: publishes values of Avro and JSON schemas, each on a topic of its own.

Usage: python_schemas.py SERVICE_URL; prints the topics, one a line.
"""
import datetime
import decimal
import enum
import sys
import uuid

import pulsar
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, timestamp_pb2
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
    ProtobufNativeSchema,
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


LOGICAL = {
    "type": "record",
    "name": "Logical",
    "namespace": "n.s",
    "fields": [
        {"name": "amount", "type": {"type": "bytes", "logicalType": "decimal", "precision": 20, "scale": 3}},
        {"name": "day", "type": {"type": "int", "logicalType": "date"}},
        {"name": "time", "type": {"type": "long", "logicalType": "time-micros"}},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        {"name": "local", "type": {"type": "long", "logicalType": "local-timestamp-millis"}},
        {"name": "id", "type": {"type": "string", "logicalType": "uuid"}},
        {"name": "any", "type": ["null", "long", {"type": "map", "values": "bytes"}, "Logical"]},
    ],
}


def logical(inner):
    utc = datetime.timezone.utc
    return {
        "amount": decimal.Decimal("-12345678901234567.890"),
        "day": datetime.date(1969, 12, 31),
        "time": datetime.time(23, 59, 59, 999_999),
        "at": datetime.datetime(2026, 11, 23, 23, 21, 41, 123_456, utc),
        "local": datetime.datetime(2026, 11, 23, 23, 21, 41, 123_000),
        "id": uuid.UUID("00010203-0405-0607-0809-0a0b0c0d0e0f"),
        "any": inner,
    }


def message_class():
    """A message that no generated code is needed for."""
    field = descriptor_pb2.FieldDescriptorProto
    at = ".google.protobuf.Timestamp"
    fields = [
        field(name="id", number=1, type=field.TYPE_SINT64, label=field.LABEL_OPTIONAL),
        field(name="names", number=2, type=field.TYPE_STRING, label=field.LABEL_REPEATED),
        field(name="at", number=3, type=field.TYPE_MESSAGE, type_name=at, label=field.LABEL_OPTIONAL),
        field(name="inner", number=4, type=field.TYPE_MESSAGE, type_name=".py.Order", label=field.LABEL_OPTIONAL),
    ]
    pool = descriptor_pool.DescriptorPool()
    timestamp = descriptor_pb2.FileDescriptorProto()
    timestamp_pb2.DESCRIPTOR.CopyToProto(timestamp)
    pool.Add(timestamp)
    order = descriptor_pb2.DescriptorProto(name="Order", field=fields)
    pool.Add(
        descriptor_pb2.FileDescriptorProto(
            name="order.proto",
            package="py",
            syntax="proto3",
            dependency=[timestamp.name],
            message_type=[order],
        )
    )
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("py.Order"))


def messages(cls):
    yield cls(id=-(2**63), names=["Grüße", ""], at={"seconds": 1_764_000_000, "nanos": 5}, inner=cls(id=1))
    yield cls()


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
    send("python-avro-logical", AvroSchema(None, LOGICAL), map(logical, [None, 2**63 - 1, {"k": b"\xff"}, logical(None)]))
    cls = message_class()
    send("python-protobuf", ProtobufNativeSchema(cls), messages(cls))
    send("python-avro-evolution", AvroSchema(First), [First(a=1)])
    send("python-avro-evolution", AvroSchema(Second), [Second(a=2, b="b")])
    client.close()
    for name in ("avro", "json", "avro-bytes", "string", "avro-logical", "protobuf", "avro-evolution"):
        print(f"python-{name}")


main()
