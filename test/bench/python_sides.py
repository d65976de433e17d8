#!/usr/bin/env python3
"""Drains a topic with the official Python client, as something to compare with.

Usage: python_sides.py raw|function SERVICE_URL < {"topic", "subscription", "count", "cos": {...}}
raw:      batch_receive and acknowledgements, nothing written.
function: receive loop, local file, one PUT with the COS SDK per 5000 messages or 500 MB, then acknowledgements.
Prints one JSON object: messages, wall and CPU time, memory before the drain and its peak.
"""
import base64
import json
import os
import resource
import sys
import tempfile
import time

os.environ["NO_PROXY"] = "127.0.0.1"
import pulsar  # noqa: E402

MAX_MESSAGES = 5000
MAX_BYTES = 500_000_000


def memory(field):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith(field))


def drain_raw(consumer, spec):
    seen = 0
    while seen < spec["count"]:
        messages = consumer.batch_receive()
        for message in messages:
            consumer.acknowledge(message)
        seen += len(messages)
    return seen


def record(message):
    message_id = message.message_id()
    data = message.data()
    fields = {
        "id": f"{message_id.ledger_id()}:{message_id.entry_id()}:{message_id.partition()}:{message_id.batch_index()}",
        "topic": message.topic_name(),
        "publishTime": message.publish_timestamp(),
        "key": message.partition_key(),
        "properties": message.properties(),
    }
    try:
        fields["value"] = data.decode("utf-8")
    except UnicodeDecodeError:
        fields["valueBase64"] = base64.b64encode(data).decode()
    return json.dumps(fields, ensure_ascii=False).encode() + b"\n"


def drain_function(consumer, spec, cos):
    seen = 0
    with tempfile.TemporaryDirectory() as folder:
        while seen < spec["count"]:
            path = os.path.join(folder, "batch.jsonl")
            batch, size = [], 0
            with open(path, "wb") as file:
                while len(batch) < MAX_MESSAGES and size < MAX_BYTES and seen + len(batch) < spec["count"]:
                    message = consumer.receive(timeout_millis=30000)
                    line = record(message)
                    file.write(line)
                    size += len(line)
                    batch.append(message.message_id())
            with open(path, "rb") as file:
                key = f"{spec['cos']['prefix']}{seen:012}.jsonl"
                cos.put_object(Bucket=spec["cos"]["bucket"], Key=key, Body=file)
            for message_id in batch:
                consumer.acknowledge(message_id)
            seen += len(batch)
    return seen


def cos_client(spec):
    from qcloud_cos import CosConfig, CosS3Client

    return CosS3Client(
        CosConfig(
            Region=spec["region"],
            SecretId=spec["secretId"],
            SecretKey=spec["secretKey"],
            Scheme="http",
            IP="127.0.0.1",
            Port=spec["port"],
        )
    )


def main():
    spec = json.load(sys.stdin)
    cos = cos_client(spec["cos"]) if sys.argv[1] == "function" else None
    idle = memory("VmRSS")
    started, usage = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF)
    client = pulsar.Client(sys.argv[2], logger=pulsar.FileLogger(pulsar.LoggerLevel.Warn, "/dev/stderr"))
    consumer = client.subscribe(
        spec["topic"],
        spec["subscription"],
        receiver_queue_size=5000,
        max_total_receiver_queue_size_across_partitions=50000,
    )
    seen = drain_function(consumer, spec, cos) if cos else drain_raw(consumer, spec)
    consumer.close()
    client.close()
    wall, now = time.monotonic() - started, resource.getrusage(resource.RUSAGE_SELF)
    cpu = now.ru_utime + now.ru_stime - usage.ru_utime - usage.ru_stime
    print(
        json.dumps(
            {
                "messages": seen,
                "wallMs": wall * 1000,
                "cpuMs": cpu * 1000,
                "idleRssBytes": idle,
                "maxRssBytes": memory("VmHWM"),
            }
        )
    )


main()
