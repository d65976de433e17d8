#!/usr/bin/env python3
"""Fills a topic with the official Python client.

Usage: fill.py SERVICE_URL < {"topic", "count", "size", "batching", "random"}
Payloads are JSON of exactly `size` bytes, of few words or, with `random`, of text that hardly compresses; each message
has a key and two properties.
"""
import base64
import json
import os
import sys
import threading

import pulsar

spec = json.load(sys.stdin)
client = pulsar.Client(sys.argv[1], logger=pulsar.FileLogger(pulsar.LoggerLevel.Warn, "/dev/stderr"))
producer = client.create_producer(
    spec["topic"],
    batching_enabled=spec["batching"],
    batching_max_messages=1000,
    batching_max_publish_delay_ms=10,
    block_if_queue_full=True,
    max_pending_messages=5000 if spec["size"] < 100_000 else 100,
)
failures = []
left = threading.Semaphore(0)


def sent(result, _message_id):
    if result != pulsar.Result.Ok:
        failures.append(str(result))
    left.release()


WORDS = "amber basil cedar delta ember fjord glade heron inlet jetty knoll larch maple nexus ocean pearl quill ridge".split()
for index in range(spec["count"]):
    head = '{"order":%d,"customer":"c-%d","amount":%d.%02d,"note":"' % (index, index * 7919 % 10007, index % 997, index % 100)
    room = spec["size"] - len(head) - 2
    note = ""
    if room > 0 and spec.get("random"):
        note = base64.b64encode(os.urandom(room)).decode()[:room]
    elif room > 0:
        step = index * 31
        block = " ".join(WORDS[(step + at * at * 7 + at * step) % 18] + str((step + at * 37) % 1000) for at in range(40))
        note = (block * (room // len(block) + 1))[:room]
    producer.send_async(
        (head + note + '"}').encode(),
        sent,
        partition_key="key-%d" % (index % 1000),
        properties={"source": "bench", "type": "order.created"},
    )
producer.flush()
for _ in range(spec["count"]):
    left.acquire()
client.close()
if failures:
    sys.exit(f"{len(failures)} messages were not published: {failures[0]}")
