// The loopback broker is fit to be in for Pulsar where the official C++ client, by way of Python, takes it for one.
// What the client says about the real broker and of the stand-in is compared in one test.
import { createHash } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type LoopbackBroker, startLoopbackBroker } from '../stand-ins/broker/broker.ts';
import { createTopic } from './broker/topics.ts';
import { transcribe } from './broker-transcript.ts';
import { runPython } from './python.ts';
import { consume, publish } from './python-clients.ts';
import { useBroker } from './use-broker.ts';

const T = 'persistent://public/default/t';
const sha256 = (bytes: Uint8Array | string) => createHash('sha256').update(bytes).digest('hex');

describe('the loopback broker, used by the official Python client', () => {
  let broker: LoopbackBroker;
  beforeEach(async () => {
    broker = await startLoopbackBroker({
      tokens: {
        'good-token': { role: 'admin', isAllowed: true },
        'powerless-token': { role: 'nobody', isAllowed: false },
      },
    });
    broker.createTopic(T, 3);
    broker.createSubscription(T, 'kept');
  });
  afterEach(() => broker.close());
  const token = 'good-token';

  it.for(['NONE', 'LZ4', 'ZLib', 'ZSTD', 'SNAPPY'] as const)(
    'stores and gives back every field of varied messages sent with %s, by pulsar:// and http://',
    async (compression) => {
      const spec = { topic: T, token, count: 100, content: 'varied', size: 300, compression } as const;
      const published = await publish(broker.serviceUrl, spec);
      const entries = new Set(published.map(({ id }) => id.split(':').slice(0, 3).join(':')));
      expect(broker.subscriptionBacklog(T, 'kept')).toBe(entries.size);
      for (const url of [broker.serviceUrl, broker.httpUrl]) {
        const consumed = await consume(url, { topic: T, token, count: 100 });
        const byId = new Map(consumed.map((message) => [message.id, message]));
        for (const { id, key, properties, eventTimeMs, producer, sha256: sum } of published) {
          expect(byId.get(id)).toMatchObject({ key, properties, eventTimeMs, producer, sha256: sum });
        }
      }
    },
  );

  it('joins the chunks that it stored, of a message larger than the broker takes at once', async () => {
    const spec = { topic: T, token, count: 2, size: 12_000_000, chunking: true, batching: false };
    const published = await publish(broker.serviceUrl, spec);
    expect(broker.subscriptionBacklog(T, 'kept')).toBeGreaterThan(4);
    const consumed = await consume(broker.serviceUrl, { topic: T, token, count: 2 });
    expect(consumed.map((message) => message.sha256).sort()).toEqual(
      published.map((message) => message.sha256).sort(),
    );
  });

  it.for(['none', 'lz4', 'zlib', 'zstd', 'snappy'] as const)(
    'reads what was published in-process with compression %s, in batches, alone and in chunks',
    async (compression) => {
      const random = (index: number) => createHash('sha512').update(`${index}`).digest();
      const messages = Array.from({ length: 60 }, (_, index) => ({
        payload: Buffer.concat([Buffer.from(`message ${index} `.repeat(index * 20)), random(index)]),
        key: `key-${index % 7}`,
        properties: { index: String(index) },
        eventTimeMs: 1_700_000_000_000 + index,
        publishTimeMs: 1_800_000_000_000 + index,
      }));
      broker.publish(T, messages.slice(0, 40), { batchSize: 15, compression });
      broker.publish(T, messages.slice(40), { compression, chunkSizeBytes: 500, producerName: 'q' });
      const consumed = await consume(broker.serviceUrl, { topic: T, token, count: 60 });
      const byIndex = new Map(consumed.map((message) => [message.properties['index'], message]));
      for (const [index, { payload, key, eventTimeMs }] of messages.entries()) {
        const producer = index < 40 ? 'loopback' : 'q';
        expect(byIndex.get(String(index))).toMatchObject({
          sha256: sha256(payload),
          key,
          eventTimeMs,
          producer,
        });
      }
    },
  );

  it('refuses a wrong token, and a role without permission', async () => {
    await expect(consume(broker.httpUrl, { topic: T, token: 'wrong-token' })).rejects.toThrow(/Pulsar error/);
    await expect(
      publish(broker.serviceUrl, { topic: T, token: 'powerless-token', count: 1 }),
    ).rejects.toThrow(/Pulsar error/);
    expect(broker.connections()).toEqual([]);
    expect(broker.subscriptionBacklog(T, 'kept')).toBe(0);
  });
});

describe('the loopback broker beside a real one', () => {
  const real = useBroker();

  it('gives the same answers on a bare socket', async () => {
    const loopback = await startLoopbackBroker({ autoCreatesTopics: false });
    try {
      expect(await transcribe(loopback)).toEqual(await transcribe(real()));
    } finally {
      await loopback.close();
    }
  });

  it('looks the same to a client that consumes in every way', async () => {
    const loopback = await startLoopbackBroker();
    try {
      const script = 'subscriptions.py';
      const onReal = await createTopic(real(), 'subscriptions');
      const seen = JSON.parse(await runPython(script, [loopback.serviceUrl, loopback.httpUrl, T]));
      const seenOnReal = JSON.parse(await runPython(script, [real().serviceUrl, real().httpUrl, onReal]));
      expect(seen).toEqual(seenOnReal);
      expect(seen).toMatchObject({ 'second exclusive': 'busy', 'keys in common': [], 'stand-by gets': [] });
    } finally {
      await loopback.close();
    }
  });
});
