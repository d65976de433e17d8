#!/usr/bin/env python3
"""Publishes messages with the official Python client, so that no code of ours takes part in it.

Usage: producer.py SERVICE_URL < spec.json   Prints one JSON object per message: what it published, and as which id.
spec: {"topic": ..., "count": ...} and any of the settings below. The same spec publishes the same messages.
"""
import base64
import hashlib
import json
import random
import sys
import threading

import pulsar

DEFAULTS = {
    "token": None,
    "seed": 1,
    "content": "text",  # text: size bytes of printable text; varied: everything a message may be
    "size": 1024,
    "keys": 100,  # how many different keys; 0: none
    "batching": True,
    "batch_messages": 100,
    "compression": "NONE",  # NONE, LZ4, ZLib, ZSTD, SNAPPY
    "chunking": False,
    "public_key": None,  # a PEM file: messages are encrypted for it
    "producer_name": "producer.py",  # the same on every partition
    "first_sequence_id": 1,
}
EVENT_TIME_MS = 1_700_000_000_123


def is_text(value):
    try:
        value.decode("utf-8")
        return True
    except UnicodeDecodeError:
        return False


def text(rng, size):
    return "".join(rng.choices("abcdefghijklmnopqrstuvwxyz0123456789 ", k=size))


def plain_message(rng, index, spec):
    return {
        "value": text(rng, spec["size"]).encode(),
        "key": f"key-{rng.randrange(spec['keys'])}" if spec["keys"] else None,
        "ordering_key": None,
        "properties": {"index": str(index), "source": "producer.py"},
        "event_time": EVENT_TIME_MS + index,
    }


VARIED_VALUES = [
    lambda rng, size: text(rng, size).encode(),
    lambda rng, size: rng.randbytes(size),
    lambda rng, size: b"",
    lambda rng, size: None,
    lambda rng, size: json.dumps({"quote": '"', "line": "\n\r\u2028", "n": rng.random()}).encode(),
    lambda rng, size: "Grüße, 世界 🌍\u0000\t\\\n".encode() * 3,
    lambda rng, size: "🌍".encode()[:3],  # cut short: not UTF-8
    lambda rng, size: b"\xef\xbb\xbfwith a byte order mark",
]
VARIED_KEYS = [None, "k", "schlüssel-世界", "a/b c\"d\n", "x" * 500]
VARIED_PROPERTIES = [{}, {"a": "b"}, {"z": "1", "a": "", "ü": "世界", "__proto__": "x", "7": "7"}, {"long": "v" * 2000}]


def varied_message(rng, index, spec):
    return {
        "value": VARIED_VALUES[index % len(VARIED_VALUES)](rng, spec["size"]),
        "key": rng.choice(VARIED_KEYS),
        "ordering_key": rng.choice([None, "order-1", "Ordnung ü"]),
        "properties": rng.choice(VARIED_PROPERTIES),
        "event_time": rng.choice([None, EVENT_TIME_MS + index]),
    }


def main():
    spec = {**DEFAULTS, **json.load(sys.stdin)}
    auth = pulsar.AuthenticationToken(spec["token"]) if spec["token"] else None
    client = pulsar.Client(
        sys.argv[1],
        authentication=auth,
        operation_timeout_seconds=15,
        logger=pulsar.FileLogger(pulsar.LoggerLevel.Warn, "/dev/stderr"),
    )
    encryption = {}
    if spec["public_key"]:
        reader = pulsar.CryptoKeyReader(spec["public_key"], "")
        encryption = {"crypto_key_reader": reader, "encryption_key": "backup-test"}
    producer = client.create_producer(
        spec["topic"],
        producer_name=spec["producer_name"],
        batching_enabled=spec["batching"] and not spec["chunking"],
        batching_max_messages=spec["batch_messages"],
        batching_max_allowed_size_in_bytes=1024 * 1024,
        batching_max_publish_delay_ms=20,
        chunking_enabled=spec["chunking"],
        compression_type=pulsar.CompressionType.__members__[spec["compression"]],
        block_if_queue_full=True,
        **encryption,
    )
    rng = random.Random(spec["seed"])
    make = {"text": plain_message, "varied": varied_message}[spec["content"]]
    records = []
    failures = []
    pending = threading.Semaphore(0)

    def remember(record):
        def sent(result, message_id):
            if result == pulsar.Result.Ok:
                ids = (message_id.ledger_id(), message_id.entry_id(), message_id.partition(), message_id.batch_index())
                record["id"] = ":".join(str(part) for part in ids)
            else:
                failures.append(str(result))
            pending.release()

        return sent

    for index in range(spec["count"]):
        message = make(rng, index, spec)
        value = message["value"]
        sequence_id = spec["first_sequence_id"] + index
        ordering_key = message["ordering_key"]
        record = {
            "id": None,
            "index": index,
            "key": message["key"],
            "orderingKey": None if ordering_key is None else base64.b64encode(ordering_key.encode()).decode(),
            "properties": message["properties"],
            "eventTimeMs": message["event_time"],
            "sequenceId": sequence_id,
            "producer": producer.producer_name(),
            "sizeBytes": None if value is None else len(value),
            "isText": value is None or is_text(value),
            "sha256": None if value is None else hashlib.sha256(value).hexdigest(),
        }
        records.append(record)
        producer.send_async(
            value,
            remember(record),
            partition_key=message["key"],
            ordering_key=ordering_key,
            properties=message["properties"],
            event_timestamp=message["event_time"],
            sequence_id=sequence_id,
        )
    producer.flush()
    for _ in records:
        pending.acquire()
    client.close()
    if failures:
        sys.exit(f"{len(failures)} messages were not published: {failures[0]}")
    for record in records:
        print(json.dumps(record))


main()
