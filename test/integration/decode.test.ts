// From a producer with a schema to a decoded value: the official Python client publishes to a real broker, a run backs the
// topics up together with their schemas, and `archive cat --decode` prints what the official Java client reads of it.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { beforeAll, expect, it } from 'vitest';
import { type JsonValue, parseJson } from '../../src/archive/decode/json-value.ts';
import { main } from '../../src/cli/main.ts';
import { testTerminal } from '../cli/terminal.ts';
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
  await runPython(script, [broker().serviceUrl]);
});

it.each(TOPICS)('%s: every value is what the Java client reads', async (topic) => {
  const env = ruleEnv(cos(), broker().serviceUrl, `persistent://public/default/${topic}`);
  const run = testTerminal(env);
  expect(await main(['run'], run.terminal), run.err() + run.out()).toBe(0);
  const cat = testTerminal(env);
  expect(await main(['archive', 'cat', '--decode'], cat.terminal), cat.err()).toBe(0);
  const decoded = cat
    .out()
    .trimEnd()
    .split('\n')
    .map((line) => (parseJson(line) as { decoded: JsonValue }).decoded);
  expect(decoded).toEqual(recorded.filter((one) => one.topic === topic).map(({ generic }) => generic.value));
});
