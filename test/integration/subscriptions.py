#!/usr/bin/env python3
"""Consumes in every way the official Python client can, and prints what it saw as one JSON object.

Usage: subscriptions.py SERVICE_URL ADMIN_URL TOPIC   (a plain topic that is new or empty)
"""
import json
import sys
import urllib.request

import pulsar
from pulsar import ConsumerType, InitialPosition

service_url, admin_url, topic = sys.argv[1:4]
client = pulsar.Client(
    service_url, operation_timeout_seconds=10, logger=pulsar.FileLogger(pulsar.LoggerLevel.Warn, "/dev/stderr")
)
seen = {}


def subscribe(name, kind=ConsumerType.Exclusive, **options):
    return client.subscribe(
        topic, name, consumer_type=kind, initial_position=InitialPosition.Earliest, **options
    )


def receive(consumer, count):
    return [consumer.receive(timeout_millis=10000) for _ in range(count)]


def values(messages):
    return [message.data().decode() for message in messages]


def rest_of(consumer):
    """Everything that still comes within half a second of quiet."""
    messages = []
    while True:
        try:
            messages.append(consumer.receive(timeout_millis=500))
        except pulsar.Timeout:
            return messages


def publish(count, **options):
    producer = client.create_producer(topic, **options)
    for index in range(count):
        producer.send(f"m{index}".encode(), partition_key=f"k{index % 10}")
    producer.close()


def exclusive():
    consumer = subscribe("exclusive")
    messages = receive(consumer, 20)
    seen["exclusive"] = values(messages)
    try:
        subscribe("exclusive")
        seen["second exclusive"] = "accepted"
    except pulsar.ConsumerBusy:
        seen["second exclusive"] = "busy"
    consumer.acknowledge_cumulative(messages[14])
    consumer.close()
    consumer = subscribe("exclusive")
    seen["after a cumulative ack"] = values(rest_of(consumer))
    consumer.seek(messages[17].message_id())
    seen["after a seek"] = values(rest_of(consumer))
    last = consumer.get_last_message_id()
    seen["last id is that of the last message"] = last == messages[19].message_id()
    consumer.unsubscribe()


def shared():
    a, b = (subscribe("shared", ConsumerType.Shared, negative_ack_redelivery_delay_ms=100) for _ in range(2))
    of_a, of_b = rest_of(a), rest_of(b)
    seen["shared"] = sorted(values(of_a + of_b))
    seen["both have a share"] = len(of_a) > 0 and len(of_b) > 0
    for message in of_a[1:]:
        a.acknowledge(message)
    a.negative_acknowledge(of_a[0])
    again = rest_of(a) + rest_of(b)
    seen["comes again"] = values(again) == values(of_a[:1]) and again[0].redelivery_count() == 1
    a.close()
    b.close()
    c = subscribe("shared", ConsumerType.Shared)
    seen["what the closed left"] = sorted(values(rest_of(c))) == sorted(values(of_a[:1] + of_b))
    c.close()


def key_shared():
    a, b = (subscribe("key_shared", ConsumerType.KeyShared) for _ in range(2))
    of_a, of_b = rest_of(a), rest_of(b)
    seen["key_shared"] = sorted(values(of_a + of_b))
    keys = [{message.partition_key() for message in messages} for messages in (of_a, of_b)]
    seen["keys in common"] = sorted(keys[0] & keys[1])
    a.close()
    b.close()


def failover():
    a, b = (subscribe("failover", ConsumerType.Failover, consumer_name=name) for name in ("a", "b"))
    messages = receive(a, 20)
    a.acknowledge_cumulative(messages[9])
    seen["stand-by gets"] = values(rest_of(b))
    a.close()
    seen["after the switch"] = values(receive(b, 10))
    b.close()


def unload():
    consumer = subscribe("unload")
    messages = receive(consumer, 20)
    consumer.acknowledge_cumulative(messages[17])
    path = topic.replace("persistent://", "persistent/")
    request = urllib.request.Request(f"{admin_url}/admin/v2/{path}/unload", method="PUT")
    urllib.request.urlopen(request).read()
    seen["after an unload"] = values(receive(consumer, 2))
    consumer.close()


def reader():
    messages = client.create_reader(topic, pulsar.MessageId.earliest)
    found = []
    while messages.has_message_available():
        found.append(messages.read_next(10000))
    seen["reader"] = values(found)
    messages.close()


publish(20)
for scenario in (exclusive, shared, key_shared, failover, unload, reader):
    scenario()
client.close()
print(json.dumps(seen))
