#!/usr/bin/env python3
"""The official Python client (over libpulsar, the C++ client): publishes what a list of cases on stdin says.

Usage: python_client.py SERVICE_URL < cases.json
"""
import base64
import json
import sys

import pulsar

CODECS = {"NONE": "NONE", "LZ4": "LZ4", "ZLIB": "ZLib", "ZSTD": "ZSTD", "SNAPPY": "SNAPPY"}


def payload(message):
    if message["base64"] is None:
        return None
    return base64.b64decode(message["base64"]) * message.get("times", 1)


def publish(client, case):
    kind = case["kind"]
    producer = client.create_producer(
        case["topic"],
        producer_name=case["name"],
        compression_type=pulsar.CompressionType.__members__[CODECS[case["codec"]]],
        batching_enabled=kind in ("batch", "key"),
        batching_type=pulsar.BatchingType.KeyBased if kind == "key" else pulsar.BatchingType.Default,
        batching_max_messages=1000,
        batching_max_allowed_size_in_bytes=4_000_000,
        batching_max_publish_delay_ms=10_000,
        chunking_enabled=kind == "chunked",
    )
    failures = []
    for message in case["messages"]:
        ordering_key = message.get("orderingKey")
        producer.send_async(
            payload(message),
            lambda result, _: failures.append(result) if result != pulsar.Result.Ok else None,
            partition_key=message.get("key"),
            ordering_key=None if ordering_key is None else base64.b64decode(ordering_key).decode(),
            properties=message.get("properties"),
            event_timestamp=message.get("eventTimeMs"),
        )
        if message.get("flush"):
            producer.flush()
    producer.flush()
    producer.close()
    if failures:
        sys.exit(f"{case['name']}: {failures[0]}")


def main():
    client = pulsar.Client(
        sys.argv[1],
        operation_timeout_seconds=15,
        logger=pulsar.FileLogger(pulsar.LoggerLevel.Warn, "/dev/stderr"),
    )
    for case in json.load(sys.stdin):
        publish(client, case)
    client.close()


main()
