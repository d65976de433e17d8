// The contract of Publisher (src/ports.ts) as tests, over every broker.
import { setImmediate as turn } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { BackupError } from '../../src/errors.ts';
import type { OutgoingMessage, Publisher, PublishOptions, TopicProducer } from '../../src/ports.ts';
import { encodeBatch } from '../../src/pulsar/wire/protocol/producer-entry.ts';
import { COMPRESSION_TYPE } from '../../src/pulsar/wire/protocol/tables.ts';
import { parseTopicName, partitionTopic, type TopicName } from '../../src/topic-name.ts';
import type { PublisherSurroundings } from './publisher-setup.ts';
import type { StoredMessage } from './stored-messages.ts';

const OPTIONS: PublishOptions = {
  compression: 'none',
  batching: true,
  windowBytes: 1_000_000,
  mayRepeat: false,
};
/** Turns of the event loop in which what can go on does. */
const TURNS = 200;

const outgoing = (sequenceId: number, rest: Partial<OutgoingMessage> = {}): OutgoingMessage => ({
  sequenceId,
  key: undefined,
  orderingKey: undefined,
  properties: [],
  eventTimeMs: undefined,
  payload: Buffer.from(`message ${sequenceId}`),
  ...rest,
});
const textOf = ({ payload }: { payload: Uint8Array | null }) => payload && Buffer.from(payload).toString();
const texts = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, i) => `message ${from + i}`);

/** Runs the contract. `start` brings up the surroundings, once for all tests. */
export function describePublisherContract(name: string, start: () => Promise<PublisherSurroundings>): void {
  describe(`the contract of Publisher: ${name}`, { timeout: 90_000 }, () => {
    let around: PublisherSurroundings;
    const publishers: Publisher[] = [];
    beforeAll(async () => {
      around = await start();
    }, 180_000);
    afterEach(async () => {
      await Promise.all(publishers.splice(0).map((publisher) => publisher.close()));
    });
    afterAll(() => around?.stop());

    async function createPublisher(options?: Parameters<PublisherSurroundings['createPublisher']>[0]) {
      const publisher = await around.createPublisher(options);
      publishers.push(publisher);
      return publisher;
    }

    /** A producer on a new plain topic. */
    async function openProducer(options: Partial<PublishOptions> = {}, deduplicates = false) {
      const topic = await around.createTopic(0, { deduplicates });
      const publisher = await createPublisher();
      const producer = await publisher.open(topic.full, 'restore', { ...OPTIONS, ...options });
      return { topic, publisher, producer, stored: () => around.stored(topic.full) };
    }

    async function sendAll(producer: TopicProducer, from: number, to: number): Promise<void> {
      for (let i = from; i < to; i++) await producer.send(outgoing(i));
    }

    async function until<T>(read: () => T | Promise<T>, isFine: (found: T) => boolean): Promise<T> {
      for (;;) {
        const found = await read();
        if (isFine(found)) return found;
        await around.clock.sleep(20);
      }
    }

    async function failureOf(promise: Promise<unknown>): Promise<BackupError> {
      const failure = await promise.then(
        () => undefined,
        (error: unknown) => error,
      );
      expect(failure).toBeInstanceOf(BackupError);
      return failure as BackupError;
    }

    describe('topics', () => {
      it.each([0, 1, 3])('reports that a topic has %i partitions', async (partitions) => {
        const topic = await around.createTopic(partitions);
        expect(await (await createPublisher()).partitions(topic)).toBe(partitions);
      });

      it.each([0, 2])('is looked at before it is published to, with %i partitions', async (partitions) => {
        const topic = await around.createTopic(partitions);
        const publisher = await createPublisher();
        const { maxEntryBytes } = around;
        expect(await publisher.look(topic, { hasSchemas: false })).toMatchObject({
          partitions,
          isEmpty: true,
          maxEntryBytes,
        });
        const name = partitions === 0 ? topic.full : `${topic.full}-partition-1`;
        const producer = await publisher.open(name, 'restore', OPTIONS);
        await sendAll(producer, 0, 3);
        await producer.flush();
        expect(await publisher.look(topic, { hasSchemas: false })).toMatchObject({
          partitions,
          isEmpty: false,
        });
        expect(await around.stored(name)).toHaveLength(3);
      });

      it('publishes to each partition by its name', async () => {
        const topic = await around.createTopic(2);
        const publisher = await createPublisher();
        for (const partition of [0, 1]) {
          const producer = await publisher.open(partitionTopic(topic, partition), 'restore', OPTIONS);
          await sendAll(producer, partition * 10, partition * 10 + 3);
          await producer.flush();
        }
        for (const partition of [0, 1])
          expect((await around.stored(partitionTopic(topic, partition))).map(textOf)).toEqual(
            texts(partition * 10, partition * 10 + 3),
          );
      });
    });

    describe('what is stored', () => {
      it.each([true, false])('is in order, with its sequence ids (batching: %s)', async (batching) => {
        const { producer, stored } = await openProducer({ batching });
        // Some are left out, as a restore that goes on does.
        const ids = Array.from({ length: 400 }, (_, i) => i * 3 + 5);
        for (const id of ids) await producer.send(outgoing(id));
        await producer.flush();
        expect(producer.acknowledgedSequenceId).toBe(ids.at(-1));
        const found = await stored();
        expect(found.map(textOf)).toEqual(ids.map((id) => `message ${id}`));
        expect(found.map(({ sequenceId }) => sequenceId)).toEqual(ids);
        expect(new Set(found.map(({ producer: by }) => by))).toEqual(new Set(['restore']));
      });

      it('is several messages to an entry with batching, and one without', async () => {
        for (const batching of [true, false]) {
          const { producer, stored } = await openProducer({ batching });
          await sendAll(producer, 0, 500);
          await producer.flush();
          const entries = new Set((await stored()).map(({ entry }) => entry)).size;
          if (batching) expect(entries).toBeLessThan(100);
          else expect(entries).toBe(500);
        }
      });

      it.each([true, false])('has every field of its message (batching: %s)', async (batching) => {
        const { producer, stored } = await openProducer({ batching });
        const messages = [
          outgoing(0, { key: 'k', orderingKey: Buffer.from('o'), eventTimeMs: 1_700_000_000_000 }),
          outgoing(1, {
            key: 'schlüssel-世界',
            properties: [
              ['a', 'b'],
              ['ü', '世界 🌍'],
              ['empty', ''],
            ],
          }),
          outgoing(2, { payload: Buffer.alloc(0), key: '' }),
          outgoing(3, { payload: Buffer.from([0xff, 0xfe, 0]) }),
        ];
        for (const message of messages) await producer.send(message);
        await producer.flush();
        expect((await stored()).map(factsOf)).toEqual(messages.map(factsOf));
      });

      const exact: [string, Partial<OutgoingMessage>][] = [
        ['a null value', { payload: null }],
        ['a binary key', { key: Buffer.from([0xff, 0]) }],
        ['an empty binary key', { key: Buffer.alloc(0) }],
        ['a binary ordering key', { orderingKey: Buffer.from([0xff, 1]) }],
        ['a key that holds U+0000', { key: 'a\0b' }],
        ['a property that holds U+0000', { properties: [['n\0', 'v\0']] }],
      ];
      it.each(exact)('is never another message: %s', async (_, rest) => {
        for (const batching of [true, false]) {
          const { producer, stored } = await openProducer({ batching });
          const message = outgoing(0, rest);
          await producer.send(message);
          await producer.flush();
          expect((await stored()).map(factsOf)).toEqual([factsOf(message)]);
        }
      });

      it.each(['none', 'zlib', 'zstd'] as const)('is compressed as asked: %s', async (compression) => {
        const payload = Buffer.from('an order of one hundred umbrellas; '.repeat(400));
        for (const batching of [true, false]) {
          const { producer, stored } = await openProducer({ batching, compression });
          const sending = (async () => {
            for (let i = 0; i < 5; i++) await producer.send(outgoing(i, { payload }));
            await producer.flush();
          })();
          const failure = await sending.catch((error: unknown) => error);
          if (failure !== undefined) {
            // The wire driver compresses with what its Node has.
            expect([compression, Number(process.versions.node.split('.')[0]) < 23]).toEqual(['zstd', true]);
            expect(failure).toMatchObject({ code: 'config', hint: 'Choose zlib.' });
            continue;
          }
          const found = await stored();
          expect(found.map((one) => one.payload?.equals(payload))).toEqual([true, true, true, true, true]);
          const wanted = COMPRESSION_TYPE[compression.toUpperCase() as 'NONE' | 'ZLIB' | 'ZSTD'];
          expect(new Set(found.map((one) => one.compression))).toEqual(new Set([wanted]));
          if (compression !== 'none') expect(found[0]?.storedBytes).toBeLessThan(payload.length);
        }
      });

      it.each([false, true])(
        'is in chunks where it is larger than the broker takes (deduplicating topic: %s)',
        async (isDeduplicating) => {
          const { producer, stored } = await openProducer({}, isDeduplicating);
          const large = Buffer.alloc(around.maxEntryBytes * 2 + 12_345, 'large');
          const rest = { payload: large, key: 'k', properties: [['a', 'b']] as const };
          const messages = [outgoing(0), outgoing(1, rest), outgoing(2), outgoing(3, rest), outgoing(4)];
          for (const message of messages) await producer.send(message);
          await producer.flush();
          expect(producer.acknowledgedSequenceId).toBe(4);
          const found = await stored();
          expect(found.map(({ sequenceId }) => sequenceId)).toEqual([0, 1, 2, 3, 4]);
          expect(found.map(({ payload }) => payload?.length)).toEqual([9, large.length, 9, large.length, 9]);
          expect(found[1]?.chunks).toBeGreaterThan(1);
          expect(found[3]).toMatchObject({ key: 'k', properties: [['a', 'b']] });
        },
      );

      it('is there soon after a push, without a flush', async () => {
        const { producer, stored } = await openProducer();
        await sendAll(producer, 0, 3);
        producer.push();
        expect((await until(stored, ({ length }) => length > 0)).map(textOf)).toEqual(texts(0, 3));
      });
    });

    describe('receipts', () => {
      it('a flush waits for them, and what has none is not reported as acknowledged', async () => {
        const { producer, stored } = await openProducer();
        const goOn = await around.pause();
        await sendAll(producer, 0, 10);
        let isFlushed = false;
        const flushing = producer.flush().then(() => {
          isFlushed = true;
        });
        for (let i = 0; i < TURNS; i++) await turn();
        expect([isFlushed, producer.acknowledgedSequenceId]).toEqual([false, -1]);
        await goOn();
        await flushing;
        expect(producer.acknowledgedSequenceId).toBe(9);
        expect((await stored()).map(textOf)).toEqual(texts(0, 10));
      });

      it('no more than the window is sent without them', async () => {
        const windowBytes = 300_000;
        const payload = Buffer.alloc(20_000, 'x');
        const { producer, stored } = await openProducer({ windowBytes, batching: false });
        const goOn = await around.pause();
        let sent = 0;
        const sending = (async () => {
          for (let i = 0; i < 60; i++) {
            await producer.send(outgoing(i, { payload }));
            sent++;
          }
        })();
        for (let i = 0; i < TURNS; i++) await turn();
        expect(sent * payload.length).toBeLessThan(windowBytes + 3 * payload.length);
        expect(sent).toBeGreaterThan(5);
        await goOn();
        await sending;
        await producer.flush();
        expect((await stored()).map(({ sequenceId }) => sequenceId)).toEqual(
          Array.from({ length: 60 }, (_, i) => i),
        );
      });
    });

    describe('an entry as a broker stored it', () => {
      it('is published as it is, but for the name of its producer and its sequence id', async () => {
        const { producer, stored } = await openProducer();
        const { maxEntryBytes } = around;
        const options = { producerName: 'another', publishTimeMs: 1_700_000_000_000, maxEntryBytes };
        const messages = [outgoing(41, { key: 'k' }), outgoing(42)];
        const { bytes } = encodeBatch(messages, { ...options, compression: 'zlib' });
        await producer.send(outgoing(0));
        expect(await producer.sendEntry(bytes, 1)).toEqual({ kind: 'sent' });
        await producer.flush();
        expect(producer.acknowledgedSequenceId).toBe(1);
        const found = await stored();
        expect(found.map(textOf)).toEqual(['message 0', 'message 41', 'message 42']);
        expect(found.map(({ key, producer: by }) => [key, by])).toEqual([
          [undefined, 'restore'],
          ['k', 'restore'],
          [undefined, 'restore'],
        ]);
      });

      it('is refused with a reason where no broker would take it, and nothing else is', async () => {
        const { producer, stored } = await openProducer();
        expect(await producer.sendEntry(Buffer.from('no entry'), 0)).toEqual({
          kind: 'refused',
          reason: expect.stringMatching(/\w/),
        });
        await producer.send(outgoing(1));
        await producer.flush();
        expect((await stored()).map(textOf)).toEqual(['message 1']);
      });
    });

    describe('a lost connection', () => {
      it.each([true, false])('loses no message and no order (batching: %s)', async (batching) => {
        const { topic, producer, stored } = await openProducer({ batching });
        for (let round = 0; round < 3; round++) {
          await sendAll(producer, round * 100, round * 100 + 50);
          await around.unload(topic);
          await sendAll(producer, round * 100 + 50, round * 100 + 100);
        }
        await producer.flush();
        expect([...new Set((await stored()).map(textOf))]).toEqual(texts(0, 300));
        expect(producer.acknowledgedSequenceId).toBe(299);
      });

      it.each([true, false])(
        'that takes receipts along loses no message (batching: %s)',
        async (batching) => {
          const { producer, stored } = await openProducer({ batching });
          const goOn = await around.pause();
          await sendAll(producer, 0, 20);
          producer.push();
          await goOn({ dropConnections: true });
          await sendAll(producer, 20, 40);
          await producer.flush();
          expect([...new Set((await stored()).map(textOf))]).toEqual(texts(0, 40));
        },
      );

      it.each([true, false])(
        'has no message twice where the topic drops duplicates (batching: %s)',
        async (batching) => {
          const { topic, producer, stored } = await openProducer({ batching }, true);
          const goOn = await around.pause();
          await sendAll(producer, 0, 20);
          producer.push();
          await goOn({ dropConnections: true });
          await sendAll(producer, 20, 40);
          await around.unload(topic);
          await sendAll(producer, 40, 60);
          await producer.flush();
          expect((await stored()).map(textOf)).toEqual(texts(0, 60));
          expect(producer.acknowledgedSequenceId).toBe(59);
        },
      );

      it('in the middle of a large message leaves the message whole', async () => {
        const { topic, producer, stored } = await openProducer({ windowBytes: 50_000_000 });
        const payload = Buffer.alloc(around.maxEntryBytes * 3, 'large');
        for (let i = 0; i < 4; i++) {
          await producer.send(outgoing(i, { payload }));
          if (i % 2 === 0) await around.unload(topic);
        }
        await producer.flush();
        const found = await stored();
        expect([...new Set(found.map(({ sequenceId }) => sequenceId))]).toEqual([0, 1, 2, 3]);
        for (const one of found) expect(one.payload?.equals(payload)).toBe(true);
      });
    });

    describe('a second producer of the same name', () => {
      it('publishes nothing twice where the topic drops duplicates', async () => {
        const { topic, producer, publisher, stored } = await openProducer({}, true);
        await sendAll(producer, 0, 70);
        await producer.flush();
        await producer.close();
        const second = await publisher.open(topic.full, 'restore', { ...OPTIONS, mayRepeat: true });
        expect(second.lastSequenceId).toBe(69);
        // Its progress was lost: it begins further back than the first one came.
        await sendAll(second, Math.max(40, second.lastSequenceId + 1), 100);
        await second.flush();
        expect((await stored()).map(textOf)).toEqual(texts(0, 100));
      });

      it('knows nothing of the first where the topic keeps duplicates', async () => {
        const { topic, producer, publisher } = await openProducer();
        await sendAll(producer, 0, 10);
        await producer.flush();
        await producer.close();
        expect((await publisher.open(topic.full, 'restore', OPTIONS)).lastSequenceId).toBe(-1);
      });

      it('does not publish beside the first', async () => {
        const { topic, producer, publisher, stored } = await openProducer();
        await sendAll(producer, 0, 1);
        const opening = publisher.open(topic.full, 'restore', OPTIONS);
        await producer.flush();
        await producer.close();
        const second = await opening;
        await sendAll(second, 1, 2);
        await second.flush();
        expect((await stored()).map(textOf)).toEqual(texts(0, 2));
      });
    });

    describe('a refusal', () => {
      const openAs = async (
        topic: TopicName,
        options: Parameters<PublisherSurroundings['createPublisher']>[0],
      ) => {
        const publisher = await createPublisher(options);
        await publisher.partitions(topic);
        return publisher.open(topic.full, 'restore', OPTIONS);
      };

      it('of a role that may not produce says so', async () => {
        const topic = await around.createTopic(0);
        const failure = await failureOf(openAs(topic, { role: 'may-not-produce' }));
        expect(failure).toMatchObject({ code: 'source', retryable: false });
        expect(failure.hint).toContain('permission to produce');
        const look = (await createPublisher({ role: 'may-not-produce' })).look(topic, { hasSchemas: false });
        expect((await failureOf(look)).hint).toContain('permission to produce');
      });

      it('of a wrong token says so, and does not show it', async () => {
        const topic = await around.createTopic(0);
        const failure = await failureOf(openAs(topic, { role: 'wrong-token' }));
        expect(failure.hint).toContain('PULSAR_TOKEN');
        expect(`${failure.stack} ${JSON.stringify(failure)} ${String(failure.cause)}`).not.toContain(
          'not-the-token',
        );
      });

      it('of a topic that is not there says so', async () => {
        const known = await around.createTopic(0);
        const topic = parseTopicName(`${known.full}-that-is-not-there`) as TopicName;
        const failure = await failureOf(openAs(topic, {}));
        expect(failure).toMatchObject({ code: 'source', retryable: false });
        expect(failure.hint).toContain('Create the topic');
        expect(
          (await failureOf((await createPublisher()).look(topic, { hasSchemas: false }))).hint,
        ).toContain('Create the topic');
      });

      it('of everything, where nobody listens, says where', async () => {
        const topic = await around.createTopic(0);
        const failure = await failureOf(openAs(topic, { serviceUrl: 'pulsar://127.0.0.1:1' }));
        expect(failure.hint).toContain('PULSAR_SERVICE_URL');
      });

      it('of messages is final, and every later call throws it', async () => {
        const { topic, producer } = await openProducer();
        await sendAll(producer, 0, 5);
        await producer.flush();
        await around.terminate(topic);
        const failure = await failureOf(
          (async () => {
            await sendAll(producer, 5, 10);
            await producer.flush();
          })(),
        );
        expect(failure.message).toContain('TopicTerminated');
        expect(failure.hint).toContain('restore into another one');
        expect(producer.acknowledgedSequenceId).toBe(4);
        expect(await failureOf(producer.send(outgoing(10)))).toBe(failure);
        expect(await failureOf(producer.flush())).toBe(failure);
      });
    });

    describe('the end', () => {
      it('comes at once for what waits when the producer is closed, and may come twice', async () => {
        const { producer } = await openProducer({ windowBytes: 1 });
        const goOn = await around.pause();
        const waiting = Promise.allSettled([
          sendAll(producer, 0, 1_000).then(() => producer.flush()),
          producer.flush().then(() => producer.flush()),
        ]);
        for (let i = 0; i < 20; i++) await turn();
        await producer.close();
        await producer.close();
        for (const one of await waiting)
          if (one.status === 'rejected') expect(one.reason).toBeInstanceOf(BackupError);
        expect((await waiting)[0]).toMatchObject({ status: 'rejected' });
        await goOn();
      });

      it('comes when the signal is raised', async () => {
        const stop = new AbortController();
        const topic = await around.createTopic(0);
        const publisher = await createPublisher({ signal: stop.signal });
        const producer = await publisher.open(topic.full, 'restore', OPTIONS);
        const goOn = await around.pause();
        await sendAll(producer, 0, 10);
        const flushing = failureOf(producer.flush());
        stop.abort();
        expect((await flushing).message).toContain('stopped');
        await goOn();
      });

      it('leaves no socket and no timer, with a broker that does not answer', async () => {
        const topic = await around.createTopic(0);
        const before = openHandles();
        const publisher = await createPublisher();
        const producer = await publisher.open(topic.full, 'restore', OPTIONS);
        const goOn = await around.pause();
        await sendAll(producer, 0, 10);
        const waiting = failureOf(producer.flush());
        await publisher.close();
        await publisher.close();
        await waiting;
        await goOn();
        await until(openHandles, (count) => count <= before);
      });

      it('may come before anything was opened, and after an open that failed', async () => {
        const publisher = await createPublisher();
        await publisher.close();
        const other = await createPublisher();
        const topic = await around.createTopic(0);
        await failureOf(other.open(`${topic.full}-not-there`, 'restore', OPTIONS));
        await other.close();
      });
    });
  });
}

const openHandles = () =>
  process.getActiveResourcesInfo().filter((kind) => /^(TCP|TLS|Timeout|PipeWrap)/.test(kind)).length;

/** The fields of a message, comparable. */
function factsOf({
  key,
  orderingKey,
  properties,
  eventTimeMs,
  payload,
  sequenceId,
}: OutgoingMessage | StoredMessage) {
  const bytes = (value: Uint8Array | string | null | undefined) =>
    value instanceof Uint8Array ? `bytes ${Buffer.from(value).toString('hex')}` : value;
  return {
    ...{ key: bytes(key), orderingKey: bytes(orderingKey), properties, eventTimeMs, sequenceId },
    payload: bytes(payload),
  };
}
