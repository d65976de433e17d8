// The contract of Source: whole entries, in order, with every field, and nothing but that.
import { describe, expect, it } from 'vitest';
import type { Delivery, Message, ReadableEntry, SourcePartition, UnreadableEntry } from '../../src/ports.ts';
import { partitionTopic } from '../../src/topic-name.ts';
import {
  batch,
  idsOf,
  PATIENCE_MS,
  payloadsOf,
  type SourceContract,
  single,
  singles,
} from './source-contract.ts';
import type { PublishedMessage, SourceCapabilities } from './source-setup.ts';

/** What comes out of next. */
export function describeDelivery(contract: SourceContract): void {
  const { can, openSource, topicWith, take, expectIdle, expectBacklog } = contract;

  describe('delivering', () => {
    it('hands out whole entries, in order, batches and single messages mixed', async () => {
      const published = [
        single('one'),
        batch('a', 'b', 'c'),
        batch('alone'),
        batch(...Array.from({ length: 700 }, (_, n) => `n${n}`)),
        single(''),
      ];
      const { topic, ids } = await topicWith(...published);
      const { first } = await openSource({ topic });
      const entries = await take(first, 5);
      expect(payloadsOf(entries)).toEqual(
        published.map(({ messages }) => messages.map(({ payload }) => payload)),
      );
      expect(idsOf(entries)).toEqual(ids);
      expect(entries.map(({ messages }) => messages.map(({ id }) => id.batchIndex))).toEqual([
        [-1],
        [0, 1, 2],
        [0],
        Array.from({ length: 700 }, (_, n) => n),
        [-1],
      ]);
      await expectIdle(first);
    });

    it('hands out at once what has arrived: small entries together, a large one alone', async () => {
      const MAX_BYTES = 3_000;
      const large = 'x'.repeat(2 * MAX_BYTES);
      const published = [...singles(100), single(large), batch('a', 'b'), ...singles(100, 100)];
      const { topic, ids } = await topicWith(...published);
      const { first } = await openSource({ topic });
      expect(first.arrived(MAX_BYTES), 'nobody has asked for an entry yet').toEqual([]);
      const received: ReadableEntry[] = [];
      let together = 0;
      while (received.length < published.length) {
        const arrived = first.arrived(MAX_BYTES) as ReadableEntry[];
        const bytes = payloadsOf(arrived).flat().join('').length;
        if (arrived.length > 1) expect(bytes).toBeLessThanOrEqual(MAX_BYTES);
        together += arrived.length > 1 ? arrived.length : 0;
        received.push(...(arrived.length > 0 ? arrived : await take(first, 1)));
      }
      expect(idsOf(received)).toEqual(ids);
      expect(payloadsOf(received)).toEqual(
        published.map(({ messages }) => messages.map(({ payload }) => payload)),
      );
      expect(together).toBeGreaterThan(50);
      await first.acknowledge(idsOf(received));
      await expectIdle(first);
    });

    it('keeps the order within each partition', async () => {
      const topic = await contract.around.createTopic(2);
      for (const n of [0, 1]) await contract.around.publish(partitionTopic(topic, n), singles(50, n * 100));
      const { partitions } = await openSource({ topic });
      for (const [n, partition] of partitions.entries()) {
        const entries = await take(partition, 50);
        expect(payloadsOf(entries)).toEqual(
          Array.from({ length: 50 }, (_, index) => [`m${n * 100 + index}`]),
        );
        expect(entries.every(({ messages }) => messages[0]?.id.partition === n)).toBe(true);
        expect(entries[0]?.messages[0]?.topic).toBe(partitionTopic(topic, n));
      }
    });

    it.each([false, true])('hands out every field of a message (in a batch: %s)', async (isBatch) => {
      const messages = fullMessages();
      const producer = 'producer-1';
      const published = isBatch
        ? [{ messages, isBatch, producer }]
        : messages.map((message) => ({ messages: [message], isBatch, producer }));
      const { topic } = await topicWith(...published);
      const { first } = await openSource({ topic });
      const received = (await take(first, published.length)).flatMap((entry) => entry.messages);
      expect(received.map(comparable)).toEqual(
        messages.map((message) => comparable(expected(message, isBatch, topic.full, can))),
      );
    });

    it.each(['lz4', 'zlib', 'zstd', 'snappy'] as const)('decompresses %s', async (compression) => {
      const long = 'many times the same '.repeat(500);
      const { topic } = await topicWith(
        { ...batch('a', long, 'b'), compression },
        { ...single(long), compression },
      );
      const { first } = await openSource({ topic });
      expect(payloadsOf(await take(first, 2))).toEqual([['a', long, 'b'], [long]]);
    });

    it('hands out large messages, also larger than its receive budget', async () => {
      const large = Buffer.alloc(4_500_000, 'x');
      large.write('begin');
      const { topic } = await topicWith(single(large), single('small'), single(large));
      const { first } = await openSource({ topic }, { receiveBudgetBytes: 1_000_000 });
      const entries = await take(first, 3);
      expect(entries.map(({ messages }) => messages[0]?.payload?.length)).toEqual([
        large.length,
        5,
        large.length,
      ]);
      expect(large.equals(entries[0]?.messages[0]?.payload as Uint8Array)).toBe(true);
    });

    it('joins the chunks of a message into one entry, and acknowledges them with it', async () => {
      const whole = Buffer.from(Array.from({ length: 250 }, (_, n) => `part ${n};`).join(''));
      const { topic, ids } = await topicWith({ ...single(whole), chunkSizeBytes: 400 }, single('after'));
      const { source, first } = await openSource({ topic });
      const entries = await take(first, 2);
      expect(payloadsOf(entries)).toEqual([[whole.toString()], ['after']]);
      expect(idsOf(entries)).toEqual(ids);
      await first.acknowledge(idsOf(entries));
      await source.close();
      await expectBacklog(topic, 0);
    });

    if (can.encrypted) {
      it('hands out what it cannot decrypt as unreadable, and goes on', async () => {
        const { topic } = await topicWith(single('before'));
        const id = await contract.around.publishEncrypted(topic.full, Buffer.from('ciphertext'));
        await contract.around.publish(topic.full, [single('after')]);
        const { source, first } = await openSource({ topic });
        const [before] = await take(first, 1);
        const delivery = await nextDelivery(first);
        expect(delivery).toMatchObject({
          kind: 'unreadable',
          id,
          topic: topic.full,
          reason: expect.any(String),
        });
        expect(
          Buffer.from((delivery as UnreadableEntry).raw[0]?.bytes as Uint8Array).includes('ciphertext'),
        ).toBe(true);
        const [after] = await take(first, 1);
        expect(payloadsOf([before, after] as ReadableEntry[])).toEqual([['before'], ['after']]);
        await first.acknowledge(idsOf([before, delivery as UnreadableEntry, after] as ReadableEntry[]));
        await source.close();
        await expectBacklog(topic, 0);
      });
    } else {
      it('fails on what it cannot decrypt, and acknowledges nothing behind it', async () => {
        const { topic } = await topicWith(single('before'));
        await contract.around.publishEncrypted(topic.full, Buffer.from('ciphertext'));
        await contract.around.publish(topic.full, [single('after')]);
        const { source, first } = await openSource({ topic });
        await expect(take(first, 3)).rejects.toMatchObject({ code: 'corrupt' });
        await source.close();
        await expectBacklog(topic, 3);
      });
    }

    it('answers idle when nothing comes, and delivers what comes later', async () => {
      const topic = await contract.around.createTopic(0);
      const { first } = await openSource({ topic });
      const startedMs = contract.around.clock.now();
      expect(await first.next(400)).toEqual({ kind: 'idle' });
      expect(contract.around.clock.now() - startedMs).toBeGreaterThanOrEqual(390);
      expect(contract.around.clock.now() - startedMs).toBeLessThan(5_000);
      const next = first.next(PATIENCE_MS);
      await contract.around.publish(topic.full, singles(2));
      expect(payloadsOf([(await next) as ReadableEntry, ...(await take(first, 1))])).toEqual([
        ['m0'],
        ['m1'],
      ]);
    });

    it('is not held up by a partition that nobody reads', async () => {
      const topic = await contract.around.createTopic(2);
      const big = Buffer.alloc(500_000, 'x');
      await contract.around.publish(
        partitionTopic(topic, 0),
        Array.from({ length: 20 }, () => single(big)),
      );
      await contract.around.publish(
        partitionTopic(topic, 1),
        Array.from({ length: 20 }, () => single(big)),
      );
      const { partitions } = await openSource({ topic }, { receiveBudgetBytes: 2_000_000 });
      const [slow, quick] = partitions as [SourcePartition, SourcePartition];
      await take(slow, 1);
      expect(await take(quick, 20)).toHaveLength(20);
      expect(await take(slow, 19)).toHaveLength(19);
    });

    async function nextDelivery(partition: SourcePartition): Promise<Delivery> {
      const deadlineMs = contract.around.clock.now() + PATIENCE_MS;
      for (;;) {
        const delivery = await partition.next(500);
        if (delivery.kind !== 'idle' || contract.around.clock.now() > deadlineMs) return delivery;
      }
    }
  });
}

/** One message of each kind. */
const fullMessages = (): PublishedMessage[] => {
  const shared = {
    publishTimeMs: 1_764_000_000_123,
    schemaVersion: Uint8Array.of(0, 1),
    replicatedFrom: 'far-away',
  };
  return [
    {
      ...shared,
      payload: Uint8Array.of(0, 1, 254, 255),
      key: 'kéy',
      orderingKey: Uint8Array.of(111, 107),
      properties: { b: '2', a: 'ä', '0': 'zero', empty: '' },
      eventTimeMs: 1_764_000_000_001,
      sequenceId: 41,
    },
    { ...shared, payload: 'plain', sequenceId: 42 },
    { ...shared, payload: '', key: Uint8Array.of(255, 0, 7), sequenceId: 43 },
    { ...shared, payload: null, key: '', sequenceId: 44 },
  ];
};

/** What the adapter should make of a message. */
function expected(
  message: PublishedMessage,
  isBatch: boolean,
  topic: string,
  can: SourceCapabilities,
): Omit<Message, 'id'> & { readonly isInBatch: boolean } {
  const { payload, key, properties = {} } = message;
  const bytes = typeof payload === 'string' ? Buffer.from(payload) : payload;
  const inexactKey = typeof key === 'object' ? Buffer.from(key).toString('base64') : key || undefined;
  return {
    isInBatch: isBatch,
    topic,
    publishTimeMs: message.publishTimeMs as number,
    eventTimeMs: message.eventTimeMs,
    key: can.exactFields ? key : inexactKey,
    orderingKey: message.orderingKey,
    properties: Object.entries(properties),
    producer: can.origin ? 'producer-1' : undefined,
    sequenceId: can.exactFields ? message.sequenceId : undefined,
    schemaVersion: can.exactFields ? message.schemaVersion : undefined,
    replicatedFrom: can.origin ? message.replicatedFrom : undefined,
    payload: can.exactFields ? bytes : (bytes ?? Buffer.alloc(0)),
  };
}

/** Bytes as hex and properties sorted, so that two messages can be compared whole. */
function comparable(
  message: Omit<Message, 'id'> & { readonly id?: Message['id']; readonly isInBatch?: boolean },
) {
  const hex = (bytes: Uint8Array | null | undefined) => bytes && Buffer.from(bytes).toString('hex');
  const { id, isInBatch = (id as Message['id']).batchIndex >= 0, key, payload, ...rest } = message;
  return {
    ...rest,
    isInBatch,
    key: typeof key === 'object' ? `bytes ${hex(key)}` : key,
    orderingKey: hex(message.orderingKey),
    schemaVersion: hex(message.schemaVersion),
    payload: payload === null ? null : `bytes ${hex(payload)}`,
    properties: [...message.properties].sort(([a], [b]) => (a < b ? -1 : 1)),
  };
}
