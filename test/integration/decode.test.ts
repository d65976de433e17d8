// From a producer with a schema to a decoded value: the official Python and Go clients publish to a real broker, a run backs
// the topics up together with their schemas, and `archive cat --decode` prints what the official Java client reads of it.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { beforeAll, expect, it } from 'vitest';
import { type JsonValue, parseJson } from '../../src/archive/decode/json-value.ts';
import { main } from '../../src/cli/main.ts';
import { testTerminal } from '../cli/terminal.ts';
import { publishGoSchemas } from './foreign/clients.ts';
import { runPython } from './python.ts';
import { useBroker } from './use-broker.ts';
import { ruleEnv, useCos } from './use-cos.ts';

const broker = useBroker({ extraConf: { allowAutoTopicCreation: 'true' } });
const cos = useCos();

/** As recorded of the same script (test/fixtures/schemas). */
const recorded = gunzipSync(readFileSync(join(import.meta.dirname, '../fixtures/schemas/python.jsonl.gz')))
  .toString()
  .trimEnd()
  .split('\n')
  .map((line) => parseJson(line) as unknown as { topic: string; generic: { value: JsonValue } });
const TOPICS = [...new Set(recorded.map(({ topic }) => topic))];

beforeAll(async () => {
  await broker().admin('PUT', 'namespaces/public/default/schemaCompatibilityStrategy', 'ALWAYS_COMPATIBLE');
  const script = join(import.meta.dirname, 'foreign/python_schemas.py');
  await Promise.all([runPython(script, [broker().serviceUrl]), publishGoSchemas(broker().serviceUrl)]);
  // The first time the Go client is built.
}, 600_000);

/** What `archive cat --decode` prints of a topic that was backed up, and how it ends. */
async function decodedOf(topic: string) {
  const env = ruleEnv(cos(), broker().serviceUrl, `persistent://public/default/${topic}`);
  const run = testTerminal(env);
  expect(await main(['run'], run.terminal), run.err() + run.out()).toBe(0);
  const cat = testTerminal(env);
  const exitCode = await main(['archive', 'cat', '--decode'], cat.terminal);
  const lines = cat.out().trimEnd().split('\n');
  const records = lines.map(
    (line) => parseJson(line) as { readonly decoded: JsonValue; readonly decodeError?: string },
  );
  return { exitCode, records, err: cat.err() };
}

it.each(TOPICS)('%s: every value is what the Java client reads', async (topic) => {
  const { exitCode, records, err } = await decodedOf(topic);
  expect(exitCode, err).toBe(0);
  expect(records.map(({ decoded }) => decoded)).toEqual(
    recorded.filter((one) => one.topic === topic).map(({ generic }) => generic.value),
  );
});

/** As foreign/go/schemas.go publishes them. */
const TEXT = 'Grüße 🌍 <&>';
const ORDER = {
  id: 9_007_199_254_740_993n,
  ...{ count: -1, text: TEXT, paid: true, ratio: 0.5, price: 0.1, data: '/wA=' },
  at: '2026-11-23T23:21:41.123Z',
  items: [{ name: 'i' }, { name: '' }],
  labels: { k: 'v' },
};
const EMPTY = { id: -(2n ** 63n), count: 0, text: null, paid: false, ratio: 0, price: 0, data: null };
const OF_GO: Readonly<Record<string, readonly unknown[]>> = {
  avro: [ORDER, { ...EMPTY, at: '1970-01-01T00:00:00.000Z', items: [], labels: {} }],
  'avro-logical': [
    {
      ...{ amount: '-12.345', day: '2026-11-23', at: '2026-11-23T23:21:41.123456Z' },
      ...{ color: 'GREEN', digest: 'Af8=', any: 7 },
    },
    {
      ...{ amount: '0.000', day: '1969-12-31', at: '1970-01-01T00:00:00.000Z' },
      ...{ color: 'RED', digest: 'AAA=', any: 'text' },
    },
  ],
  json: [ORDER, { ...EMPTY, at: '1970-01-01T00:00:00Z', items: null, labels: null }],
  'protobuf-native': [
    {
      name: 'n',
      fields: [
        {
          ...{ kind: 'TYPE_INT64', cardinality: 'CARDINALITY_UNKNOWN', number: -7, name: '', type_url: '' },
          ...{ oneof_index: 0, packed: true, options: [], json_name: 'ü', default_value: '' },
        },
      ],
      oneofs: ['a', ''],
      options: [{ name: 'o', value: { type_url: 't/u', value: 'Af8=' } }],
      source_context: { file_name: 'f' },
      ...{ syntax: 'SYNTAX_PROTO3', edition: '' },
    },
    { name: '', fields: [], oneofs: [], options: [], syntax: 'SYNTAX_PROTO2', edition: '' },
  ],
  string: [TEXT, ''],
  bytes: ['/wA='],
  int8: [-5],
  // This client writes these little-endian, against the protocol, and nothing says so: -500, 70,000 and 2^53 + 1.
  int16: [Buffer.of(0x0c, 0xfe).readInt16BE()],
  int32: [Buffer.of(0x70, 0x11, 0x01, 0x00).readInt32BE()],
  int64: [72_057_594_037_936_128n],
  float: [0.5],
  double: [0.1],
  evolution: [{ name: 'a' }, { more: 1, name: 'b' }],
};

it.each(Object.entries(OF_GO))('go-%s: every value is what its schema makes of it', async (name, values) => {
  const { exitCode, records, err } = await decodedOf(`go-${name}`);
  expect(exitCode, err).toBe(0);
  expect(records.map(({ decoded }) => decoded)).toEqual(values);
});

it('go-protobuf: its schema does not keep the numbers of fields, and each record says so', async () => {
  const { exitCode, records } = await decodedOf('go-protobuf');
  expect(exitCode).toBe(1);
  expect(records.map(({ decodeError }) => decodeError)).toEqual([
    'its schema cannot be used: it does not keep the numbers of its fields',
  ]);
});
