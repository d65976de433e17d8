// The contract of Source (src/ports.ts) as tests, for every adapter over every broker: describeSourceContract(name, …).
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { SubscriptionType } from '../../src/config.ts';
import { BackupError } from '../../src/errors.ts';
import type {
  Delivery,
  EntryId,
  Message,
  ReadableEntry,
  Source,
  SourcePartition,
  UnreadableEntry,
} from '../../src/ports.ts';
import { Secret } from '../../src/secret.ts';
import { parseTopicName, partitionTopic, type TopicName } from '../../src/topic-name.ts';
import type {
  ContractConfig,
  PublishedEntry,
  PublishedMessage,
  SourceCapabilities,
  SourceSurroundings,
} from './source-setup.ts';

const SUBSCRIPTION = 'backup';
/** How long a delivery that must come may take. */
const PATIENCE_MS = 20_000;
const TYPES: readonly SubscriptionType[] = ['exclusive', 'failover', 'shared', 'key_shared'];
const IN_ORDER: readonly SubscriptionType[] = ['exclusive', 'failover'];
const LISTED: readonly SubscriptionType[] = ['shared', 'key_shared'];

const text = (payload: Uint8Array | null | undefined) =>
  payload === null || payload === undefined ? payload : Buffer.from(payload).toString();
const single = (
  payload: PublishedMessage['payload'],
  more: Partial<PublishedMessage> = {},
): PublishedEntry => ({
  isBatch: false,
  messages: [{ payload, ...more }],
});
const batch = (...payloads: string[]): PublishedEntry => ({
  isBatch: true,
  messages: payloads.map((payload) => ({ payload })),
});
const singles = (count: number, from = 0) =>
  Array.from({ length: count }, (_, index) => single(`m${from + index}`));
const payloadsOf = (entries: readonly ReadableEntry[]) =>
  entries.map((entry) => entry.messages.map((message) => text(message.payload)));
const byPosition = (a: EntryId, b: EntryId) => a.ledgerId - b.ledgerId || a.entryId - b.entryId;
const idsOf = (entries: readonly { readonly id: EntryId }[]) => entries.map(({ id }) => ({ ...id }));

/** Runs the contract. `start` brings up the surroundings, once for all tests. */
export function describeSourceContract(
  name: string,
  can: SourceCapabilities,
  start: () => Promise<SourceSurroundings>,
): void {
  describe(`the contract of Source: ${name}`, { timeout: 60_000 }, () => {
    let around: SourceSurroundings;
    const opened: Source[] = [];

    beforeAll(async () => {
      around = await start();
    }, 180_000);
    afterEach(async () => {
      await Promise.all(opened.splice(0).map((source) => source.close()));
    });
    afterAll(() => around?.stop());

    function createSource(config: ContractConfig, receiveBudgetBytes?: number): Source {
      const source = around.createSource({ subscription: SUBSCRIPTION, ...config }, receiveBudgetBytes);
      opened.push(source);
      return source;
    }

    async function openSource(config: ContractConfig, receiveBudgetBytes?: number) {
      const source = createSource(config, receiveBudgetBytes);
      const partitions = await source.open();
      if (partitions === 'busy') throw new Error('the subscription is busy');
      return { source, partitions, first: partitions[0] as SourcePartition };
    }

    /** A plain topic whose subscription exists, with entries in it. */
    async function topicWith(...entries: PublishedEntry[]): Promise<{ topic: TopicName; ids: EntryId[] }> {
      const topic = await around.createTopic(0);
      return { topic, ids: await around.publish(topic.full, entries) };
    }

    /** The next `count` entries, whatever signals stand between them. */
    async function take(partition: SourcePartition, count: number): Promise<ReadableEntry[]> {
      const entries: ReadableEntry[] = [];
      const deadlineMs = around.clock.now() + PATIENCE_MS;
      while (entries.length < count) {
        const delivery = await partition.next(500);
        if (delivery.kind === 'entry') entries.push(delivery);
        else if (delivery.kind === 'unreadable') throw new Error(`unreadable: ${delivery.reason}`);
        else if (around.clock.now() > deadlineMs)
          throw new Error(`${entries.length} of ${count} entries came, then ${delivery.kind}`);
      }
      return entries;
    }

    async function expectIdle(partition: SourcePartition): Promise<void> {
      expect(await partition.next(300)).toEqual({ kind: 'idle' });
    }

    async function expectBacklog(
      topic: TopicName,
      entries: number,
      subscription = SUBSCRIPTION,
    ): Promise<void> {
      // A broker updates what it shows of a cursor a little later.
      const deadlineMs = around.clock.now() + 5_000;
      for (;;) {
        const backlog = await around.backlogEntries(topic, subscription);
        if (backlog === entries || around.clock.now() > deadlineMs) {
          expect(backlog).toBe(entries);
          return;
        }
        await around.clock.sleep(50);
      }
    }

    describe('opening', () => {
      it('finds the partitions of a partitioned topic, in order', async () => {
        const topic = await around.createTopic(3);
        const { source, partitions } = await openSource({ topic });
        expect(source.driver).toMatch(/^(wire|native)$/);
        expect(partitions.map(({ partition, topic }) => [partition, topic])).toEqual(
          [0, 1, 2].map((n) => [n, partitionTopic(topic, n)]),
        );
      });

      it('takes a plain topic for one partition, numbered -1', async () => {
        const topic = await around.createTopic(0);
        const { partitions } = await openSource({ topic });
        expect(partitions.map(({ partition, topic }) => [partition, topic])).toEqual([[-1, topic.full]]);
      });

      it('takes the last entry at that time for the end, whatever is published later', async () => {
        const { topic, ids } = await topicWith(...singles(2), batch('a', 'b'));
        const { first } = await openSource({ topic });
        await around.publish(topic.full, singles(1));
        expect(first.end).toEqual(can.exactEnd ? expect.objectContaining(ids[2] as EntryId) : 'unknown');
      });

      it('has no end where there is nothing to drain: empty topic, or all acknowledged', async () => {
        const empty = await around.createTopic(0);
        const { first: none } = await openSource({ topic: empty });
        expect(none.end).toBe(can.exactEnd ? null : 'unknown');
        const { topic } = await topicWith(...singles(2));
        const { source, first } = await openSource({ topic });
        await first.acknowledge(idsOf(await take(first, 2)));
        await source.close();
        const { first: drained } = await openSource({ topic });
        expect(drained.end).toBe(can.exactEnd ? null : 'unknown');
        await expectIdle(drained);
      });

      it('begins a new subscription at its initial position', async () => {
        const { topic } = await topicWith(...singles(2));
        const { first: latest } = await openSource({
          topic,
          subscription: 'late',
          initialPosition: 'latest',
        });
        await around.publish(topic.full, singles(1, 2));
        expect(payloadsOf(await take(latest, 1))).toEqual([['m2']]);
        const { first: earliest } = await openSource({ topic, initialPosition: 'earliest' });
        expect(payloadsOf(await take(earliest, 3))).toEqual([['m0'], ['m1'], ['m2']]);
      });

      it("answers 'busy' where somebody has the Exclusive subscription", async () => {
        const { topic } = await topicWith(...singles(1));
        const { source, first } = await openSource({ topic });
        expect(await createSource({ topic }).open()).toBe('busy');
        expect(payloadsOf(await take(first, 1))).toEqual([['m0']]);
        await source.close();
        expect(await createSource({ topic }).open()).toHaveLength(1);
      });

      it('fails with a hint where there is no such topic', async () => {
        const known = await around.createTopic(0);
        const topic = parseTopicName(`${known.full}-that-is-not-there`) as TopicName;
        await expectFailure(createSource({ topic }));
      });

      it('fails with a hint where there is no such namespace', async () => {
        const topic = parseTopicName('public/not-there/orders') as TopicName;
        await expectFailure(createSource({ topic }));
      });

      it('fails with a hint, and without showing it, where the token is wrong', async () => {
        const topic = await around.createTopic(0);
        const failure = await expectFailure(createSource({ topic, token: new Secret('not-the-token') }));
        expect(failure.hint).toContain('PULSAR_TOKEN');
        expect(`${failure.stack} ${JSON.stringify(failure)} ${String(failure.cause)}`).not.toContain(
          'not-the-token',
        );
      });

      it('fails with a hint where nobody listens', async () => {
        const topic = await around.createTopic(0);
        await expectFailure(createSource({ topic, serviceUrl: 'pulsar://127.0.0.1:1' }));
      });

      async function expectFailure(source: Source): Promise<BackupError> {
        const startedMs = around.clock.now();
        const failure = await source.open().then(
          () => undefined,
          (error: unknown) => error,
        );
        expect(failure).toBeInstanceOf(BackupError);
        expect(failure).toMatchObject({ code: 'source', hint: expect.stringMatching(/\w/) });
        expect(around.clock.now() - startedMs).toBeLessThan(30_000);
        return failure as BackupError;
      }
    });

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

      it('keeps the order within each partition', async () => {
        const topic = await around.createTopic(2);
        for (const n of [0, 1]) await around.publish(partitionTopic(topic, n), singles(50, n * 100));
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
        const { first } = await openSource({ topic }, 1_000_000);
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

      it(`${can.encrypted ? 'hands out what it cannot decrypt as unreadable, and goes on' : 'fails where encrypted entries are all that is left'}`, async () => {
        const { topic } = await topicWith(single('before'));
        const id = await around.publishEncrypted(topic.full, Buffer.from('ciphertext'));
        await around.publish(topic.full, [single('after')]);
        const { source, first } = await openSource({ topic });
        const [before] = await take(first, 1);
        if (!can.encrypted) {
          expect(payloadsOf(await take(first, 1))).toEqual([['after']]);
          await expect(first.next(500)).rejects.toMatchObject({ code: 'corrupt' });
          return;
        }
        const delivery = await nextDelivery(first);
        expect(delivery).toMatchObject({
          kind: 'unreadable',
          id,
          topic: topic.full,
          reason: expect.any(String),
        });
        expect(Buffer.from((delivery as UnreadableEntry).raw).includes('ciphertext')).toBe(true);
        const [after] = await take(first, 1);
        expect(payloadsOf([before, after] as ReadableEntry[])).toEqual([['before'], ['after']]);
        await first.acknowledge(idsOf([before, delivery as UnreadableEntry, after] as ReadableEntry[]));
        await source.close();
        await expectBacklog(topic, 0);
      });

      it('answers idle when nothing comes, and delivers what comes later', async () => {
        const topic = await around.createTopic(0);
        const { first } = await openSource({ topic });
        const startedMs = around.clock.now();
        expect(await first.next(400)).toEqual({ kind: 'idle' });
        expect(around.clock.now() - startedMs).toBeGreaterThanOrEqual(390);
        expect(around.clock.now() - startedMs).toBeLessThan(5_000);
        const next = first.next(PATIENCE_MS);
        await around.publish(topic.full, singles(2));
        expect(payloadsOf([(await next) as ReadableEntry, ...(await take(first, 1))])).toEqual([
          ['m0'],
          ['m1'],
        ]);
      });

      it('is not held up by a partition that nobody reads', async () => {
        const topic = await around.createTopic(2);
        const big = Buffer.alloc(500_000, 'x');
        await around.publish(
          partitionTopic(topic, 0),
          Array.from({ length: 20 }, () => single(big)),
        );
        await around.publish(
          partitionTopic(topic, 1),
          Array.from({ length: 20 }, () => single(big)),
        );
        const { partitions } = await openSource({ topic }, 2_000_000);
        const [slow, quick] = partitions as [SourcePartition, SourcePartition];
        await take(slow, 1);
        expect(await take(quick, 20)).toHaveLength(20);
        expect(await take(slow, 19)).toHaveLength(19);
      });

      async function nextDelivery(partition: SourcePartition): Promise<Delivery> {
        const deadlineMs = around.clock.now() + PATIENCE_MS;
        for (;;) {
          const delivery = await partition.next(500);
          if (delivery.kind !== 'idle' || around.clock.now() > deadlineMs) return delivery;
        }
      }
    });

    describe('acknowledging', () => {
      it.each(TYPES)('lets nothing come again on %s, and leaves no backlog', async (subscriptionType) => {
        const { topic } = await topicWith(batch('a', 'b'), ...singles(3), batch('c'));
        const { source, first } = await openSource({ topic, subscriptionType });
        const entries = await take(first, 5);
        expect(payloadsOf([...entries].sort((a, b) => byPosition(a.id, b.id)))).toEqual([
          ['a', 'b'],
          ['m0'],
          ['m1'],
          ['m2'],
          ['c'],
        ]);
        await first.acknowledge(idsOf(entries));
        if (can.receipts) await expectBacklog(topic, 0);
        await source.close();
        await expectBacklog(topic, 0);
        const { first: again } = await openSource({ topic, subscriptionType });
        await expectIdle(again);
      });

      it.each(IN_ORDER)('goes up to the last entry on %s', async (subscriptionType) => {
        const { topic, ids } = await topicWith(...singles(2), batch('a', 'b'), batch('c', 'd'), single('e'));
        const { source, first } = await openSource({ topic, subscriptionType });
        await take(first, 5);
        await first.acknowledge([ids[2] as EntryId]);
        await source.close();
        await expectBacklog(topic, 2);
        const { first: again } = await openSource({ topic, subscriptionType });
        expect(payloadsOf(await take(again, 2))).toEqual([['c', 'd'], ['e']]);
      });

      it.each(LISTED)('takes just the entries of the list on %s', async (subscriptionType) => {
        const { topic, ids } = await topicWith(...singles(2), batch('a', 'b'), batch('c', 'd'), single('e'));
        const { source, first } = await openSource({ topic, subscriptionType });
        await take(first, 5);
        await first.acknowledge([ids[1], ids[3]] as EntryId[]);
        await source.close();
        await expectBacklog(topic, 3);
        const { first: again } = await openSource({ topic, subscriptionType });
        const rest = (await take(again, 3)).sort((a, b) => byPosition(a.id, b.id));
        expect(payloadsOf(rest)).toEqual([['m0'], ['a', 'b'], ['e']]);
      });

      it.each(TYPES)('may be repeated on %s', async (subscriptionType) => {
        const { topic } = await topicWith(...singles(3));
        const { source, first } = await openSource({ topic, subscriptionType });
        const ids = idsOf(await take(first, 3));
        await first.acknowledge(ids.slice(0, 2));
        await first.acknowledge(ids.slice(0, 2));
        await first.acknowledge([]);
        await source.close();
        await expectBacklog(topic, 1);
      });

      it('goes on while messages are taken, over many entries', async () => {
        const { topic } = await topicWith(...singles(400));
        const { source, first } = await openSource({ topic });
        const acknowledged: Promise<void>[] = [];
        for (let round = 0; round < 8; round++) {
          acknowledged.push(first.acknowledge(idsOf(await take(first, 50))));
        }
        await Promise.all(acknowledged);
        await source.close();
        await expectBacklog(topic, 0);
      });

      it('leaves what was not acknowledged to the next run, from its beginning', async () => {
        const { topic } = await topicWith(...singles(4));
        const { source, first } = await openSource({ topic });
        const entries = await take(first, 3);
        await first.acknowledge(idsOf(entries.slice(0, 1)));
        await source.close();
        const { first: again } = await openSource({ topic });
        expect(payloadsOf(await take(again, 3))).toEqual([['m1'], ['m2'], ['m3']]);
      });
    });

    describe('taking a partition afresh', () => {
      it.each(TYPES)('begins at the first unacknowledged entry on %s', async (subscriptionType) => {
        const { topic } = await topicWith(...singles(2), batch('a', 'b', 'c'), ...singles(300, 2));
        const { first } = await openSource({ topic, subscriptionType });
        const entries = await take(first, 40);
        await first.acknowledge(idsOf(entries.slice(0, 1)));
        await first.restart();
        const again = await take(first, 302);
        const wanted = ['m1', 'a,b,c', ...Array.from({ length: 300 }, (_, n) => `m${n + 2}`)];
        const got = (
          IN_ORDER.includes(subscriptionType) ? again : again.sort((a, b) => byPosition(a.id, b.id))
        ).map(({ messages }) => messages.map(({ payload }) => text(payload)).join(','));
        expect(got).toEqual(wanted);
        await expectIdle(first);
      });

      it('may be repeated, and the partition can be acknowledged as before', async () => {
        const { topic } = await topicWith(...singles(3));
        const { source, first } = await openSource({ topic });
        await first.restart();
        await take(first, 2);
        await first.restart();
        await first.restart();
        await first.acknowledge(idsOf(await take(first, 3)));
        await source.close();
        await expectBacklog(topic, 0);
      });

      it('leaves the other partitions alone', async () => {
        const topic = await around.createTopic(2);
        for (const n of [0, 1]) await around.publish(partitionTopic(topic, n), singles(4));
        const { partitions } = await openSource({ topic });
        const [one, other] = partitions as [SourcePartition, SourcePartition];
        await take(one, 2);
        await take(other, 2);
        await one.restart();
        expect(payloadsOf(await take(other, 2))).toEqual([['m2'], ['m3']]);
        expect(payloadsOf(await take(one, 4))).toEqual([['m0'], ['m1'], ['m2'], ['m3']]);
      });
    });

    describe('several consumers', () => {
      it('of a Failover subscription take over from the beginning of what is not acknowledged', async () => {
        const { topic } = await topicWith(...singles(3));
        const { source, first } = await openSource({ topic, subscriptionType: 'failover' });
        await first.acknowledge(idsOf(await take(first, 3)).slice(0, 1));
        const { first: standby } = await openSource({ topic, subscriptionType: 'failover' });
        await source.close();
        expect(payloadsOf(await take(standby, 2))).toEqual([['m1'], ['m2']]);
      });

      it('of a Failover subscription: who is not active is told so, where the driver can', async () => {
        const { topic } = await topicWith(...singles(3));
        const one = await openSource({ topic, subscriptionType: 'failover' });
        const other = await openSource({ topic, subscriptionType: 'failover' });
        // Who becomes the active one is the broker's choice; it is one of them.
        const seen = new Set<string>();
        const hasSeenAll = () => seen.has('entry') && (seen.has('standby') || seen.has('lost'));
        const deadlineMs = around.clock.now() + 6_000;
        while (!hasSeenAll() && around.clock.now() < deadlineMs) {
          const deliveries = await Promise.all([one.first.next(500), other.first.next(500)]);
          for (const { kind } of deliveries) seen.add(kind);
        }
        expect(seen).toContain('entry');
        expect(seen.has('standby') || seen.has('lost')).toBe(can.failoverSignals);
      });

      it('of a Shared subscription get each message once, together', async () => {
        const { topic } = await topicWith();
        const one = await openSource({ topic, subscriptionType: 'shared' });
        const other = await openSource({ topic, subscriptionType: 'shared' });
        await around.publish(topic.full, singles(100));
        const got: string[] = [];
        const deadlineMs = around.clock.now() + PATIENCE_MS;
        while (got.length < 100 && around.clock.now() < deadlineMs) {
          for (const { first } of [one, other]) {
            const delivery = await first.next(10);
            if (delivery.kind !== 'entry') continue;
            got.push(...delivery.messages.map(({ payload }) => text(payload) as string));
            await first.acknowledge([delivery.id]);
          }
        }
        expect(got.sort()).toEqual(Array.from({ length: 100 }, (_, n) => `m${n}`).sort());
      });
    });

    describe('the backlog', () => {
      it('is what is not acknowledged yet, where the driver can tell', async () => {
        const { topic } = await topicWith(...singles(5));
        const { first } = await openSource({ topic });
        await first.acknowledge(idsOf(await take(first, 5)).slice(0, 2));
        const backlog = await first.backlog();
        if (can.backlog) expect(backlog?.entries ?? backlog?.messages).toBe(3);
        else expect(backlog).toBeUndefined();
      });
    });

    describe('closing', () => {
      const openHandles = () =>
        process.getActiveResourcesInfo().filter((kind) => /^(TCP|TLS|Timeout|PipeWrap)/.test(kind)).length;

      it('leaves no socket and no timer, also with a receive under way, and may be repeated', async () => {
        const topic = await around.createTopic(2);
        await around.publish(partitionTopic(topic, 0), singles(10));
        const before = openHandles();
        const { source, partitions } = await openSource({ topic });
        await take(partitions[0] as SourcePartition, 1);
        const waiting = partitions[1]?.next(60_000).catch((error: unknown) => error);
        await source.close();
        await source.close();
        expect(await waiting).toSatisfy(
          (answer) => answer instanceof BackupError || (answer as Delivery).kind === 'idle',
        );
        const deadlineMs = around.clock.now() + 5_000;
        while (openHandles() > before && around.clock.now() < deadlineMs) await around.clock.sleep(20);
        expect(openHandles()).toBeLessThanOrEqual(before);
      });

      it('is possible before an open and after one that failed', async () => {
        const topic = await around.createTopic(0);
        await createSource({ topic }).close();
        const failing = createSource({ topic: parseTopicName(`${topic.full}-not-there`) as TopicName });
        await expect(failing.open()).rejects.toBeInstanceOf(BackupError);
        await failing.close();
      });
    });
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
