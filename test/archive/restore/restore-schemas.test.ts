// What a restore registers at its target, in which order, and which version each message gets there.
import { describe, expect, it } from 'vitest';
import { registerSchemas } from '../../../src/archive/restore/restore-schemas.ts';
import { BackupError } from '../../../src/errors.ts';
import { encodeKeptSchema, keepSchema, schemaKey, schemaName } from '../../../src/format/kept-schema.ts';
import { crc64 } from '../../../src/lib/crc64.ts';
import type { Publisher, TopicSchema } from '../../../src/ports.ts';
import { parseTopicName, type TopicName } from '../../../src/topic-name.ts';
import { createMemoryStore, type MemoryStore } from '../../fakes/memory-store.ts';

const SOURCE = parseTopicName('t/ns/orders') as TopicName;
const TARGET = 'persistent://t/ns/replay-partition-0';
const version = (number: number) => Buffer.from([0, 0, 0, 0, 0, 0, 0, number]);

async function put(store: MemoryStore, name: string, bytes: Uint8Array): Promise<void> {
  const attributes = { metadata: {}, contentType: 'application/json' };
  const body = { chunks: [bytes], sizeBytes: bytes.length };
  await store.create(schemaKey('p/', SOURCE, name), body, crc64([bytes]), attributes);
}

async function keep(
  store: MemoryStore,
  number: number,
  definition: string,
  isOther = false,
): Promise<string> {
  const schema = {
    type: 'AVRO',
    name: 'n',
    properties: [['a', 'b']] as const,
    definition: Buffer.from(definition),
  };
  const kept = keepSchema(SOURCE, version(number), schema);
  const name = schemaName(version(number), isOther ? kept.sha256 : undefined);
  await put(store, name, encodeKeptSchema(kept));
  return name;
}

/** A target whose next version is `next`; it refuses a definition. */
function target(next = 40, refuses?: { definition: string; error: BackupError }) {
  const registered: string[] = [];
  const publisher = {
    async registerSchema(topic: string, { definition }: TopicSchema) {
      expect(topic).toBe(TARGET);
      const text = Buffer.from(definition).toString();
      if (text === refuses?.definition) throw refuses.error;
      registered.push(text);
      return version(next + registered.length - 1);
    },
  } as unknown as Publisher;
  return { publisher, registered };
}

const register = (store: MemoryStore, publisher: Publisher) =>
  registerSchemas({ store, prefix: 'p/', source: SOURCE, publisher, targetPartition: TARGET });

const objectOf = (...schemas: string[]) => ({ manifest: { schemas } }) as never;

describe('a restore', () => {
  it('registers all schemas in the order of versions, those of a topic made anew last', async () => {
    const store = createMemoryStore();
    for (const number of [10, 9, 2]) await keep(store, number, `v${number}`);
    await keep(store, 2, 'anew', true);
    const { publisher, registered } = target();
    const schemas = await register(store, publisher);
    expect(registered).toEqual(['v2', 'v9', 'v10', 'anew']);
    expect(Buffer.from(schemas?.ofProducers.definition ?? []).toString()).toBe('anew');
    expect(schemas?.ofProducers).toMatchObject({ type: 'AVRO', properties: [['a', 'b']] });
  });

  it('gives each message the version that its schema has at the target', async () => {
    const store = createMemoryStore();
    const names = [
      await keep(store, 0, 'zero'),
      await keep(store, 0, 'anew', true),
      await keep(store, 1, 'one'),
    ];
    const schemas = await register(store, target().publisher);
    const versionOf = (number: number, ...named: string[]) =>
      schemas?.versionOf(
        { topic: `${SOURCE.full}-partition-1`, schemaVersion: version(number) },
        objectOf(...named),
      );
    expect(await versionOf(0, names[0] as string)).toEqual(version(40));
    expect(await versionOf(0, names[1] as string)).toEqual(version(42));
    expect(await versionOf(1)).toEqual(version(41));
    expect(await versionOf(0)).toBeUndefined();
    expect(await versionOf(7)).toBeUndefined();
    expect(
      await schemas?.versionOf({ topic: SOURCE.full, schemaVersion: undefined }, objectOf()),
    ).toBeUndefined();
  });

  it('has none to register where none is kept', async () => {
    const { publisher, registered } = target();
    expect(await register(createMemoryStore(), publisher)).toBeUndefined();
    expect(registered).toEqual([]);
  });

  it('says which schema the target refuses, why, and the ways out', async () => {
    const store = createMemoryStore();
    for (const number of [0, 1]) await keep(store, number, `v${number}`);
    const error = new BackupError('source', 'registering was refused: IncompatibleSchema (field x)', {
      details: { serverError: 'IncompatibleSchema' },
    });
    await expect(register(store, target(0, { definition: 'v1', error }).publisher)).rejects.toMatchObject({
      message: expect.stringMatching(/schema 1 of .*orders .*\(field x\)/),
      hint: expect.stringContaining('--schemas none'),
    });
  });

  it('passes on that the target cannot be reached', async () => {
    const store = createMemoryStore();
    await keep(store, 0, 'v0');
    const error = new BackupError('source', 'no connection', { retryable: true, hint: 'Look.' });
    await expect(register(store, target(0, { definition: 'v0', error }).publisher)).rejects.toBe(error);
  });

  it('registers nothing damaged', async () => {
    const store = createMemoryStore();
    await put(store, '0', Buffer.from('{'));
    await expect(register(store, target().publisher)).rejects.toMatchObject({
      code: 'corrupt',
      message: expect.stringContaining('_schemas/t/ns/orders/0.json'),
      hint: expect.stringContaining('--schemas none'),
    });
  });
});
