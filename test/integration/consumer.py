#!/usr/bin/env python3
"""Reads a topic (partitioned or not) from its beginning with the official Python client and prints it as JSON lines.

Usage: consumer.py SERVICE_URL < spec.json
spec: {"topic": ..., "token": null, "count": null, "idle_ms": 2000, "private_key": null}
Ends after `count` messages, or when none came for `idle_ms`. Leaves no subscription behind.
"""
import base64
import hashlib
import json
import sys
import uuid

import pulsar


def encoded(data):
    return None if data is None else base64.b64encode(data).decode()


def ordering_key(message):
    try:
        return message.ordering_key().encode()
    except UnicodeDecodeError as error:  # The client has it as text.
        return error.object


def main():
    spec = {"token": None, "count": None, "idle_ms": 2000, "private_key": None, **json.load(sys.stdin)}
    auth = pulsar.AuthenticationToken(spec["token"]) if spec["token"] else None
    client = pulsar.Client(
        sys.argv[1],
        authentication=auth,
        operation_timeout_seconds=15,
        logger=pulsar.FileLogger(pulsar.LoggerLevel.Warn, "/dev/stderr"),
    )
    key = spec["private_key"]
    consumer = client.subscribe(
        spec["topic"],
        f"reader-{uuid.uuid4()}",
        initial_position=pulsar.InitialPosition.Earliest,
        crypto_key_reader=pulsar.CryptoKeyReader("", key) if key else None,
    )
    seen = 0
    while spec["count"] is None or seen < spec["count"]:
        try:
            # The first receive waits longer: the connection is still new.
            message = consumer.receive(timeout_millis=spec["idle_ms"] if seen else max(10000, spec["idle_ms"]))
        except pulsar.Timeout:
            break
        seen += 1
        message_id = message.message_id()
        ids = (message_id.ledger_id(), message_id.entry_id(), message_id.partition(), message_id.batch_index())
        value = None if message.has_null_value() else message.data()
        record = {
            "id": ":".join(str(part) for part in ids),
            "topic": message.topic_name(),
            "key": message.partition_key() or None,
            "orderingKey": encoded(ordering_key(message)) if ordering_key(message) else None,
            "properties": dict(message.properties()),
            "eventTimeMs": message.event_timestamp() or None,
            "publishTimeMs": message.publish_timestamp(),
            "producer": message.producer_name(),
            "valueBase64": encoded(value),
            "sha256": None if value is None else hashlib.sha256(value).hexdigest(),
        }
        print(json.dumps(record))
        consumer.acknowledge(message)
    consumer.unsubscribe()
    client.close()


main()
