import { describe, expect, it } from 'vitest';
import { BackupError } from '../../src/errors.ts';
import { encodeKeptSchema, keepSchema, parseKeptSchema } from '../../src/format/kept-schema.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { crc64 } from '../../src/lib/crc64.ts';
import type { Clock, Logger, SchemaAnswer } from '../../src/ports.ts';
import { parseTopicName, type TopicName } from '../../src/topic-name.ts';
import { silentLogger } from '../fakes/loggers.ts';
import { createFakeBroker, type FakeBroker, publish, publishUnreadable } from '../fakes/memory-source.ts';
import { createMemoryStore, type MemoryStore } from '../fakes/memory-store.ts';
import { expectAllStoredOnce, runDrain } from '../stage/memory-stage.ts';

const topic = parseTopicName('t/n/orders') as TopicName;
const FOLDER = 'p/_schemas/t/n/orders/';

const version = (number: number) => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(number));
  return bytes;
};
const schema = (definition: string) =>
  ({ type: 'AVRO', name: 't/n/orders', properties: [], definition: Buffer.from(definition) }) as const;
const answer = (definition: string): SchemaAnswer => ({ kind: 'schema', schema: schema(definition) });

/** A broker whose schemas are these definitions, by their numbers. */
function brokerWith(definitions: Record<number, string>, partitions = 1): FakeBroker {
  const broker = createFakeBroker(partitions);
  for (const [number, definition] of Object.entries(definitions))
    broker.schemas.set(version(Number(number)).toString('hex'), answer(definition));
  return broker;
}

/** Publishes an entry to each partition. */
function publishAll(broker: FakeBroker, schemaVersion: Uint8Array | undefined): void {
  for (const partition of broker.partitions) publish(partition, ['a', 'b'], { schemaVersion });
}

const stored = (store: MemoryStore) => [...store.objects.keys()].filter((key) => key.startsWith(FOLDER));
const calls = (store: MemoryStore) => store.calls.filter((call) => call.includes('_schemas/'));

/** The definition under a name. */
function definitionOf(store: MemoryStore, name: string): string | undefined {
  const object = store.objects.get(`${FOLDER}${name}.json`);
  return object && parseKeptSchema(object.bytes).definition;
}

/** Warnings as they are logged. */
function warnings(): { logger: Logger; lines: { fields: unknown; message: string }[] } {
  const lines: { fields: unknown; message: string }[] = [];
  return {
    logger: { ...silentLogger, warn: (fields, message) => void lines.push({ fields, message }) },
    lines,
  };
}

describe('a schema that messages name', () => {
  it('is durable before the first object that needs it is created', async () => {
    const broker = brokerWith({ 0: 'zero', 1: 'one' });
    const store = createMemoryStore();
    publishAll(broker, version(0));
    publishAll(broker, version(1));
    await runDrain(broker, store, { limits: { maxMessages: 2, maxBytes: 1_000_000 } });
    const created = [...store.objects.keys()];
    const places = [0, 1].map((number) => created.indexOf(`${FOLDER}${number}.json`));
    const objects = created.flatMap((key, at) => (key.endsWith('.jsonl') ? [at] : []));
    expect(objects).toHaveLength(2);
    for (const number of [0, 1]) expect(places[number]).toBeLessThan(objects[number] as number);
    expect([0, 1].map((number) => definitionOf(store, String(number)))).toEqual(['zero', 'one']);
    expectAllStoredOnce(broker, store);
  });

  it('is asked for and looked for once, whatever partitions, entries and files need it', async () => {
    const broker = brokerWith({ 0: 'zero', 1: 'one', 2: 'two' }, 64);
    const store = createMemoryStore();
    for (let i = 0; i < 12; i++) publishAll(broker, version(i % 3));
    await runDrain(broker, store, { limits: { maxMessages: 4, maxBytes: 1_000_000 } });
    expect(stored(store)).toHaveLength(3);
    expect(calls(store).sort()).toEqual(
      [0, 1, 2].flatMap((n) => [`create ${FOLDER}${n}.json`, `head ${FOLDER}${n}.json`]).sort(),
    );
  });

  it('is not stored again by the next run, and costs it one request for each version', async () => {
    const broker = brokerWith({ 0: 'zero' }, 3);
    const store = createMemoryStore();
    publishAll(broker, version(0));
    await runDrain(broker, store);
    store.calls.length = 0;
    publishAll(broker, version(0));
    const { tally } = await runDrain(broker, store);
    expect(calls(store)).toEqual([`head ${FOLDER}0.json`]);
    expect(tally.stored.map(({ schemas }) => schemas)).toEqual([['0'], ['0'], ['0']]);
  });

  it('costs a run without messages nothing, nor one whose messages have no schema', async () => {
    const broker = brokerWith({ 0: 'zero' });
    const store = createMemoryStore();
    publishAll(broker, undefined);
    publishAll(broker, new Uint8Array());
    const { tally } = await runDrain(broker, store);
    await runDrain(broker, store);
    expect(broker.schemasAsked).toEqual([]);
    expect(calls(store)).toEqual([]);
    expect(tally.stored[0]).not.toHaveProperty('schemas');
  });

  it('is kept too where an entry cannot be decoded, before that is kept raw', async () => {
    const broker = brokerWith({ 3: 'three' });
    const store = createMemoryStore();
    const [partition] = broker.partitions;
    const entry = publishUnreadable(partition as FakeBroker['partitions'][0]);
    Object.assign(entry, { schemaVersion: version(3) });
    const { tally } = await runDrain(broker, store);
    expect(tally.unreadable).toBe(1);
    const [schema, raw] = [...store.objects.keys()];
    expect([schema, raw]).toEqual([`${FOLDER}3.json`, expect.stringContaining('_unreadable/')]);
  });

  it('costs a run nothing that leaves its messages in the subscription, and the run that stores them no more', async () => {
    const broker = brokerWith({ 0: 'zero' });
    const store = createMemoryStore();
    const publishTimeMs = Date.now() - 1_000;
    for (const partition of broker.partitions)
      publish(partition, ['a', 'b'], { schemaVersion: version(0), publishTimeMs });
    await runDrain(broker, store, { lingerMs: 3_600_000 });
    expect([...store.objects.keys(), ...broker.schemasAsked, ...calls(store)]).toEqual([]);
    const limits = { maxMessages: 2, maxBytes: 1_000_000 };
    await runDrain(broker, store, { lingerMs: 3_600_000, limits });
    expect(calls(store)).toEqual([`head ${FOLDER}0.json`, `create ${FOLDER}0.json`]);
    expectAllStoredOnce(broker, store);
  });

  it('gets a name of its own where the version is taken by another definition, and the manifest says which', async () => {
    const store = createMemoryStore();
    const first = brokerWith({ 0: 'zero' });
    publishAll(first, version(0));
    await runDrain(first, store);
    const anew = brokerWith({ 0: 'another' });
    for (const partition of anew.partitions) partition.nextId = { ledgerId: 99, entryId: 0 };
    publishAll(anew, version(0));
    const { tally } = await runDrain(anew, store);
    const name = `0-${keepSchema(topic, version(0), schema('another')).sha256.slice(0, 12)}`;
    expect(tally.stored.map(({ schemas }) => schemas)).toEqual([[name]]);
    expect([definitionOf(store, '0'), definitionOf(store, name)]).toEqual(['zero', 'another']);
  });

  it('is asked for again in a run where the topic is made anew: its ledgers are others', async () => {
    const broker = brokerWith({});
    const definitions = ['zero', 'another'];
    broker.schemas.set(version(0).toString('hex'), async () => answer(definitions.shift() as string));
    const store = createMemoryStore();
    publishAll(broker, version(0));
    publishAll(broker, version(0));
    for (const partition of broker.partitions) partition.nextId = { ledgerId: 8, entryId: 0 };
    publishAll(broker, version(0));
    const limits = { maxMessages: 2, maxBytes: 1_000_000 };
    const { tally } = await runDrain(broker, store, { limits });
    const name = `0-${keepSchema(topic, version(0), schema('another')).sha256.slice(0, 12)}`;
    expect(tally.stored.map(({ schemas }) => schemas)).toEqual([['0'], ['0'], [name]]);
  });

  it.each([
    [
      'an earlier object of other bytes with the same schema',
      (bytes: Buffer) => Buffer.from(`${bytes} \n`),
      '0',
    ],
    ['a damaged object', (bytes: Buffer) => bytes.subarray(0, 20), undefined],
  ])('finds %s at its key', async (_, change, name) => {
    const broker = brokerWith({ 0: 'zero' });
    const store = createMemoryStore();
    const kept = keepSchema(topic, version(0), schema('zero'));
    const bytes = change(encodeKeptSchema(kept));
    const body = { chunks: [bytes], sizeBytes: bytes.length };
    const attributes = { metadata: {}, contentType: 'application/json' };
    await store.create(`${FOLDER}0.json`, body, crc64([bytes]), attributes);
    publishAll(broker, version(0));
    const { tally } = await runDrain(broker, store);
    const wanted = name ?? `0-${kept.sha256.slice(0, 12)}`;
    expect(tally.stored.map(({ schemas }) => schemas)).toEqual([[wanted]]);
    expect(definitionOf(store, wanted)).toBe('zero');
  });

  it('is kept once by instances that race for it', async () => {
    const store = createMemoryStore();
    const brokers = [brokerWith({ 0: 'zero' }), brokerWith({ 0: 'zero' })];
    for (const [at, broker] of brokers.entries()) {
      for (const partition of broker.partitions) partition.nextId = { ledgerId: 7 + at, entryId: 0 };
      publishAll(broker, version(0));
    }
    const results = await Promise.all(brokers.map((broker) => runDrain(broker, store)));
    expect(results.flatMap(({ tally }) => tally.stored.map(({ schemas }) => schemas))).toEqual([
      ['0'],
      ['0'],
    ]);
    expect(stored(store)).toEqual([`${FOLDER}0.json`]);
  });
});

describe('a schema that cannot be had', () => {
  it('fails no run: it is logged once, counted, and asked for again by the next one', async () => {
    const broker = brokerWith({});
    const store = createMemoryStore();
    const { logger, lines } = warnings();
    publishAll(broker, version(0));
    publishAll(broker, version(1));
    const { tally, failure } = await runDrain(broker, store, { logger });
    expect(failure).toBeUndefined();
    expect(tally.schemasMissing).toBe(2);
    expect(lines).toEqual([
      { fields: { version: '0', reason: 'there is none', hint: undefined }, message: 'schema not kept' },
    ]);
    expectAllStoredOnce(broker, store);
    broker.schemas.set(version(0).toString('hex'), answer('zero'));
    publishAll(broker, version(0));
    const next = await runDrain(broker, store);
    expect(next.tally.schemasMissing).toBe(0);
    expect(definitionOf(store, '0')).toBe('zero');
  });

  it('is not missing where an earlier run has kept it', async () => {
    const broker = brokerWith({ 1: 'one', 10: 'ten' });
    const store = createMemoryStore();
    publishAll(broker, version(1));
    publishAll(broker, version(10));
    await runDrain(broker, store);
    broker.schemas.clear();
    publishAll(broker, version(1));
    expect((await runDrain(broker, store)).tally.schemasMissing).toBe(0);
    store.objects.delete(`${FOLDER}1.json`);
    publishAll(broker, version(1));
    expect((await runDrain(broker, store)).tally.schemasMissing).toBe(1);
  });

  it('has a version of more bytes than any broker gives: the broker is not asked', async () => {
    const broker = brokerWith({});
    const store = createMemoryStore();
    publishAll(broker, Buffer.alloc(17));
    expect((await runDrain(broker, store)).tally.schemasMissing).toBe(1);
    expect(broker.schemasAsked).toEqual([]);
    expectAllStoredOnce(broker, store);
  });

  it('is refused by the store, which takes the messages all the same', async () => {
    const broker = brokerWith({ 0: 'zero' });
    const store = createMemoryStore();
    store.hook = (when, _, key) => {
      if (when === 'before' && key.startsWith(FOLDER))
        throw new BackupError('store', 'AccessDenied', { hint: 'Allow it.' });
    };
    const { logger, lines } = warnings();
    publishAll(broker, version(0));
    const { failure } = await runDrain(broker, store, { logger });
    expect(failure).toBeUndefined();
    expect(lines).toMatchObject([{ fields: { reason: 'AccessDenied', hint: 'Allow it.' } }]);
    expectAllStoredOnce(broker, store);
  });
});

it('fails the run where the store fails for a while: the objects wait for their schemas', async () => {
  const broker = brokerWith({ 0: 'zero' });
  const store = createMemoryStore();
  store.hook = (when, call, key) => {
    if (when === 'before' && call === 'create' && key.startsWith(FOLDER))
      throw new BackupError('store', 'SlowDown', { retryable: true });
  };
  publishAll(broker, version(0));
  const { failure } = await runDrain(broker, store);
  expect(failure).toMatchObject({ message: 'SlowDown' });
  expect([...store.objects.keys()]).toEqual([]);
  expect(broker.backlog()).toBe(1);
  store.hook = undefined;
  await runDrain(broker, store);
  expect(definitionOf(store, '0')).toBe('zero');
  expectAllStoredOnce(broker, store);
});

it('waits for a silent broker no longer than it may read, and a little', async () => {
  const broker = brokerWith({});
  const reading = new AbortController();
  broker.schemas.set(version(0).toString('hex'), () => {
    reading.abort();
    return new Promise<SchemaAnswer>(() => undefined);
  });
  const store = createMemoryStore();
  publishAll(broker, version(0));
  let isWaiting = false;
  const clock: Clock = {
    ...systemClock,
    sleep: (ms, signal) => {
      if (ms === 500) isWaiting = true;
      return ms === 500 ? Promise.resolve() : systemClock.sleep(ms, signal);
    },
  };
  const never = new AbortController().signal;
  const pace = {
    ...{ stopReadingAtMs: Date.now() + 60_000, reading: reading.signal, storing: never, asking: never },
    hasTimeToStore: () => true,
    measureCreation: <T>(create: () => Promise<T>) => create(),
    measureAcknowledgement: <T>(acknowledge: () => Promise<T>) => acknowledge(),
    isCutShort: () => false,
    onPlan: () => undefined,
  };
  const { tally, failure } = await runDrain(broker, store, { clock, pace });
  expect(failure).toBeUndefined();
  expect(isWaiting).toBe(true);
  expect(tally).toMatchObject({ objects: 1, schemasMissing: 1 });
  expectAllStoredOnce(broker, store);
});
