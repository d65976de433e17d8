// What a test has published to the loopback broker, and what of it is in the bucket.
import { randomBytes } from 'node:crypto';
import { gunzipSync } from 'node:zlib';
import { expect } from 'vitest';
import { decodeRecord, formatMessageId } from '../../src/format/record.ts';
import type { LoopbackCos } from '../../src/local/cos/server.ts';
import type { LoopbackBroker } from '../stand-ins/broker/broker.ts';

export interface PublishedMessages {
  /** Publishes messages to all partitions in turn, and remembers them. */
  publish(count: number, options?: { batchSize?: number; bytes?: number }): void;
  /** Ids of everything stored, each with the objects that hold it. */
  stored(): Map<string, string[]>;
  /** Fails unless every message is in exactly one object, byte for byte, and nothing was replaced. */
  expectExactlyOnce(): void;
  /** Fails unless every message is in some object, byte for byte. Returns how many are in more than one. */
  expectAtLeastOnce(): number;
}

interface DecodedRecord {
  readonly key: string;
  readonly id: string;
  readonly payload: Uint8Array | null;
}

function decode(key: string, bytes: Buffer): DecodedRecord[] {
  const lines = (key.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString().split('\n');
  return lines.slice(0, -1).map((line) => {
    const { id, payload } = decodeRecord(line);
    return { key, id: formatMessageId(id), payload };
  });
}

/** Of one topic, and a bucket that has nothing else. */
export function publishedMessages(
  broker: LoopbackBroker,
  cos: LoopbackCos,
  topic: string,
): PublishedMessages {
  const published = new Map<string, string>();
  let sequence = 0;
  /** Objects as they were looked at before, by key: those whose bytes are still these need no decoding. */
  const decoded = new Map<string, { bytes: Buffer; records: readonly DecodedRecord[] }>();

  function* records() {
    for (const { key } of cos.objects()) {
      if (!key.includes('.jsonl')) continue;
      const bytes = cos.object(key)?.bytes ?? Buffer.alloc(0);
      const before = decoded.get(key);
      const its = before?.bytes.equals(bytes) ? before.records : decode(key, bytes);
      decoded.set(key, { bytes, records: its });
      yield* its;
    }
  }

  function stored(): Map<string, string[]> {
    const objects = new Map<string, string[]>();
    for (const { key, id } of records()) objects.set(id, [...(objects.get(id) ?? []), key]);
    return objects;
  }

  function expectAtLeastOnce(): number {
    const keys = new Map<string, number>();
    for (const { id, payload } of records()) {
      keys.set(id, (keys.get(id) ?? 0) + 1);
      const text = Buffer.from(payload ?? []).toString();
      // An expectation for each of thousands takes longer than the run.
      if (text !== published.get(id)) expect(text, id).toBe(published.get(id));
    }
    expect([...keys.keys()].sort()).toEqual([...published.keys()].sort());
    expect(cos.replacedCount, 'objects replaced').toBe(0);
    return [...keys.values()].filter((count) => count > 1).length;
  }

  return {
    publish(count, { batchSize = 10, bytes = 100 } = {}) {
      // Large ones are random, so that they stay large when they are compressed.
      const filling = bytes > 1_000 ? randomBytes(bytes).toString('base64') : '"é\n'.repeat(bytes);
      const payloads = Array.from({ length: count }, () => {
        const start = `message ${sequence++} `;
        return start + filling.slice(sequence % 700, (sequence % 700) + bytes - start.length);
      });
      const positions = broker.publish(
        topic,
        payloads.map((payload) => ({ payload, key: 'k' })),
        { batchSize },
      );
      for (const [i, payload] of payloads.entries()) {
        const position = positions[batchSize === 0 ? i : Math.floor(i / batchSize)];
        if (position === undefined) throw new Error('the broker lost an entry');
        const partition = Number(/-partition-(\d+)$/.exec(position.topic)?.[1] ?? -1);
        const batchIndex = batchSize === 0 ? -1 : i % batchSize;
        const { ledgerId, entryId } = position;
        published.set(formatMessageId({ ledgerId, entryId, partition, batchIndex }), payload);
      }
    },
    stored,
    expectAtLeastOnce,
    expectExactlyOnce() {
      expect(expectAtLeastOnce(), 'messages in more than one object').toBe(0);
    },
  };
}
