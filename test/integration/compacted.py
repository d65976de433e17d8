#!/usr/bin/env python3
"""Publishes five messages with keys and a tombstone for two of them, and has the topic compacted.

Usage: compacted.py SERVICE_URL ADMIN_URL TOPIC
"""
import json
import sys
import time
import urllib.request

import pulsar

service_url, admin_url, topic = sys.argv[1:4]
client = pulsar.Client(service_url, logger=pulsar.FileLogger(pulsar.LoggerLevel.Warn, "/dev/stderr"))
producer = client.create_producer(topic, batching_enabled=False)
for index in range(5):
    producer.send(f"v{index}".encode(), partition_key=f"k{index}")
for index in range(2):
    producer.send(b"", partition_key=f"k{index}")
client.close()

path = f"{admin_url}/admin/v2/{topic.replace('://', '/')}/compaction"
urllib.request.urlopen(urllib.request.Request(path, method="PUT")).read()
deadline = time.monotonic() + 60
while True:
    status = json.loads(urllib.request.urlopen(path).read())["status"]
    if status == "SUCCESS":
        break
    if status == "ERROR" or time.monotonic() > deadline:
        sys.exit(f"the compaction ended with {status}")
    time.sleep(0.1)
