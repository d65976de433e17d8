// `archive cat --decode`: what it adds to records, what it says of those that it cannot decode, and what it takes for
// filters and formats.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { main } from '../../../src/cli/main.ts';
import { encodeKeptSchema, keepSchema, schemaKey, schemaName } from '../../../src/format/kept-schema.ts';
import { decodeRecord } from '../../../src/format/record.ts';
import { crc64 } from '../../../src/lib/crc64.ts';
import type { Message } from '../../../src/ports.ts';
import { parseTopicName, type TopicName } from '../../../src/topic-name.ts';
import { message, PREFIX, storeManifest, storeObject } from '../../archive/archive-fixture.ts';
import { writeCopy } from '../../archive/archive-folder.ts';
import { createMemoryStore, type MemoryStore } from '../../fakes/memory-store.ts';
import { testTerminal } from '../terminal.ts';

const TOPIC = parseTopicName('t/ns/orders') as TopicName;
const root = mkdtempSync(join(tmpdir(), 'tdmq-backup-decode-'));
const folder = join(root, 'copy');
afterAll(() => rmSync(root, { recursive: true, force: true }));

function version(number: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeInt32BE(number, 4);
  return bytes;
}

async function store(
  into: MemoryStore,
  own: Buffer,
  type: string,
  definition: string,
  properties: [string, string][] = [],
  other?: string,
) {
  const given = { type, name: 'orders', properties, definition: Buffer.from(definition) };
  const schema = keepSchema(TOPIC, own, given);
  const bytes = encodeKeptSchema(schema);
  const key = schemaKey(PREFIX, TOPIC, schemaName(own, other === undefined ? undefined : schema.sha256));
  const body = { chunks: [bytes], sizeBytes: bytes.length };
  await into.create(key, body, crc64([bytes]), { metadata: {}, contentType: 'application/json' });
}

const ORDER = (...fields: string[]) =>
  JSON.stringify({
    ...{ type: 'record', name: 'Order' },
    fields: fields.map((field) => ({ name: field.split(' ')[0], type: field.split(' ')[1] })),
  });

/** Both definitions, each behind its length. */
const PAIR = `\0\0\0\0\0\0\0\0`;
const PAIR_PROPERTIES: [string, string][] = [
  ['key.schema.type', 'INT32'],
  ['value.schema.type', 'INT64'],
  ['kv.encoding.type', 'SEPARATED'],
];

const of = (
  entry: number,
  schemaVersion: Buffer | undefined,
  payload: Buffer | string | null,
  rest: Partial<Message> = {},
) =>
  message(0, entry, {
    schemaVersion,
    payload: payload === null ? null : Buffer.from(payload as string),
    ...rest,
  });

const MESSAGES = [
  of(0, version(0), Buffer.from([2])),
  of(1, version(1), Buffer.from([2, 0x78, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1])),
  of(2, version(1), Buffer.from([2, 0x78, 2, 0])),
  of(3, version(7), Buffer.from([0xff])),
  of(4, undefined, 'plain'),
  of(5, version(1), null),
  of(6, version(2), Buffer.from([0, 0, 0, 0, 0, 0, 0, 9]), { key: Buffer.from([0xff, 0xff, 0xff, 0xfe]) }),
  of(7, Buffer.from([9]), '"text"'),
  of(8, version(3), 'text'),
  of(9, Buffer.alloc(0), 'empty'),
];

beforeAll(async () => {
  const memory = createMemoryStore();
  await store(memory, version(0), 'AVRO', ORDER('a int'));
  await store(memory, version(1), 'AVRO', ORDER('name string', 'a long'));
  await store(memory, version(2), 'KEY_VALUE', PAIR, PAIR_PROPERTIES);
  await store(memory, Buffer.from([9]), 'JSON', '"string"');
  await store(memory, version(3), 'STRING', '');
  await store(memory, version(3), 'BYTES', '', [], 'another');
  await storeManifest(memory, [await storeObject(memory, MESSAGES)]);
  writeCopy(memory, folder);
});

async function cat(args: readonly string[], expectedCode = 1) {
  const { terminal, out, err } = testTerminal();
  const code = await main(['archive', 'cat', '--folder', folder, '--decode', ...args], terminal);
  expect(code, err()).toBe(expectedCode);
  return { lines: out().split('\n').slice(0, -1), err: err() };
}

const FIRST_TWO = ['--until', '2026-11-23T12:00:02Z'];

/** What is behind the stored fields of each record. */
const added = (lines: readonly string[]) =>
  lines.map((line) => /,"(?:decoded|decodedKey|decodeError)":.*$/.exec(line)?.[0].trimEnd());

test('each record has its value, decoded by the schema of its own version, or why it has not', async () => {
  const { lines, err } = await cat([]);
  expect(added(lines)).toEqual([
    ',"decoded":{"a":1}}',
    ',"decoded":{"name":"x","a":9223372036854775807}}',
    ',"decodeError":"it does not fit its schema: 1 bytes follow the value"}',
    ',"decodeError":"the archive does not have the schema of version 7"}',
    undefined,
    ',"decoded":null}',
    ',"decodedKey":-2,"decoded":9}',
    ',"decoded":"text"}',
    expect.stringMatching(
      /^,"decodeError":"version 3 has had several schemas \(3, 3-[0-9a-f]{12}\), and no manifest says which it is"\}$/,
    ),
    undefined,
  ]);
  expect(err).toContain('not decoded: 2 records without a schema');
  expect(err).toContain(
    'not decoded: 3 records, of which decodeError says why; the first: it does not fit its schema',
  );
  expect(err).toContain('archive schemas fetch');
});

test('its lines are records still: a reader of the format passes over what is added', async () => {
  const { lines } = await cat([]);
  expect(lines.map(decodeRecord)).toEqual(
    lines.map((_, i) => decodeRecord(JSON.stringify(JSON.parse(lines[i] as string)))),
  );
  expect(decodeRecord(lines[3] as string).payload).toEqual(Buffer.from([0xff]));
});

test('--format value prints JSON on each line, and the stored value of what is not decoded', async () => {
  const { lines } = await cat(['--format', 'value']);
  expect(lines.slice(0, 8)).toEqual([
    '{"a":1}',
    '{"name":"x","a":9223372036854775807}',
    '{"decodeError":"it does not fit its schema: 1 bytes follow the value","value":"\\u0002x\\u0002\\u0000"}',
    '{"decodeError":"the archive does not have the schema of version 7","valueBase64":"/w=="}',
    '{"value":"plain"}',
    '',
    '9',
    '"text"',
  ]);
});

test('--format table shows the decoded value', async () => {
  const { lines } = await cat(['--format', 'table']);
  expect(lines[1]).toMatch(/ \{"a":1\}$/);
  expect(lines[6]).toMatch(/ \(null\)$/);
});

test('--value-path and --grep look into decoded values, and what cannot be decoded makes the exit code 1', async () => {
  expect((await cat(['--value-path', 'a=9223372036854775807'])).lines).toHaveLength(1);
  expect((await cat(['--grep', '"name":"x"'])).lines).toHaveLength(1);
  expect((await cat(['--grep', 'plain'])).lines).toHaveLength(1);
  const { lines } = await cat([...FIRST_TWO, '--value-path', 'name=x', '--count'], 0);
  expect(lines).toEqual(['1']);
});

test('--latest-per-key prints decoded values too', async () => {
  const { lines } = await cat(['--latest-per-key', '--format', 'value', ...FIRST_TWO], 0);
  expect(lines).toEqual(['{"a":1}', '{"name":"x","a":9223372036854775807}']);
});

test('without anything that fails the exit code is 0, and nothing is said', async () => {
  expect(await cat(FIRST_TWO, 0)).toMatchObject({ err: '', lines: { length: 2 } });
});
