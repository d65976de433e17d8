// Runs the core over fakes, with settings that a test changes where it has to; and what was published and stored there.
import { gunzipSync } from 'node:zlib';
import { expect } from 'vitest';
import type { SubscriptionType } from '../../src/config.ts';
import { type DrainOptions, type DrainResult, drain } from '../../src/drain.ts';
import { decodeRecord, encodeRecord, formatMessageId } from '../../src/format/record.ts';
import { systemClock } from '../../src/lib/clock.ts';
import type { Message, ObjectStore } from '../../src/ports.ts';
import { silentLogger } from '../fakes/loggers.ts';
import { createFakeSource, type FakeBroker, publish } from '../fakes/memory-source.ts';
import type { MemoryObject, MemoryStore } from '../fakes/memory-store.ts';

const topic = { tenant: 't', namespace: 'n', topic: 'orders', full: 'persistent://t/n/orders' };

export function runDrain(
  broker: FakeBroker,
  store: ObjectStore,
  options: Partial<DrainOptions> = {},
): Promise<DrainResult> {
  const subscriptionType: SubscriptionType = broker.isInOrder ? 'exclusive' : 'shared';
  return drain({
    rule: 'orders-backup',
    topic,
    prefix: 'p/',
    subscriptionType,
    limits: { maxMessages: 5000, maxBytes: 500_000_000 },
    compression: 'none',
    onUnreadable: 'store',
    chunkExpiryMs: 86_400_000,
    lingerMs: 0,
    source: createFakeSource(broker),
    store,
    clock: systemClock,
    logger: silentLogger,
    startedAtMs: Date.now(),
    stopReadingAtMs: Date.now() + 60_000,
    storingEnd: new AbortController().signal,
    bufferBytes: 64 * 1_048_576,
    ...options,
  });
}

/** The records of objects that were looked at before: no object ever changes, and some tests look after each run. */
const decoded = new WeakMap<MemoryObject, readonly (readonly [id: string, message: Message])[]>();

/** All messages in the store's objects of records, by id. @throws where one is there twice */
export function storedMessages(store: MemoryStore): Map<string, Message> {
  const messages = new Map<string, Message>();
  for (const object of store.objects.values()) {
    if (!object.key.includes('.jsonl')) continue;
    const records = decoded.get(object) ?? recordsIn(object);
    decoded.set(object, records);
    for (const [id, message] of records) {
      if (messages.has(id)) throw new Error(`${id} is in two objects, the second is ${object.key}`);
      messages.set(id, message);
    }
  }
  return messages;
}

function linesOf({ key, bytes }: MemoryObject): string[] {
  return (key.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString().split('\n').slice(0, -1);
}

function recordsIn(object: MemoryObject): (readonly [id: string, message: Message])[] {
  const messages = linesOf(object).map(decodeRecord);
  return messages.map((message) => [formatMessageId(message.id), message]);
}

/** All messages of the broker, by id. */
export function publishedMessages(broker: FakeBroker): Map<string, Message> {
  const messages = new Map<string, Message>();
  for (const { entries } of broker.partitions) {
    for (const entry of entries) {
      if (entry.kind !== 'entry') continue;
      for (const message of entry.messages) messages.set(formatMessageId(message.id), message);
    }
  }
  return messages;
}

/** Publishes `entries` batches to each partition, their payloads distinguished and at least `size` bytes long. */
export function fill(broker: FakeBroker, entries: number, batch = 1, size = 10): void {
  for (let i = 0; i < entries; i++) {
    for (const partition of broker.partitions) {
      publish(
        partition,
        Array.from({ length: batch }, (_, j) => `${partition.partition}-${i}-${j}`.padEnd(size, '.')),
      );
    }
  }
}

/** Fails unless every message is in exactly one object, record for record. */
export function expectAllStoredOnce(broker: FakeBroker, store: MemoryStore): void {
  const stored = [...store.objects.values()].filter(({ key }) => key.includes('.jsonl')).flatMap(linesOf);
  // Without the marks of a whole object.
  const lines = stored.map((line) => `${line.trimEnd()}\n`);
  expect(lines.sort()).toEqual([...publishedMessages(broker).values()].map(encodeRecord).sort());
}
