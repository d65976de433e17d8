// Nothing found is a failure: each command that reads an archive says what is there instead, in a folder and in a bucket.
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { main } from '../../../src/cli/main.ts';
import { parseCosConfig } from '../../../src/config.ts';
import { createCosStore } from '../../../src/cos/store.ts';
import { crc64 } from '../../../src/lib/crc64.ts';
import { type LoopbackStage, startLoopbackStage } from '../../stage/loopback-stage.ts';
import { testTerminal } from '../terminal.ts';

const TOPIC = 'public/default/orders';
const DAY = `${TOPIC}/date=2026-11-23`;
const OBJECT = `${DAY}/partition=0/000000000012-0000000007-00000.jsonl`;
const RECORD = `{"id":"12:7:0:0","topic":"persistent://${TOPIC}-partition-0","publishTime":"2026-11-23T10:00:00.000Z","key":"k","value":"v"}\n`;
const COMMANDS = [
  ['ls'],
  ['cat'],
  ['verify'],
  ['index'],
  ['recover'],
  ['restore', '--to', 'public/default/replay', '--dry-run'],
];

const root = mkdtempSync(join(tmpdir(), 'tdmq-backup-nothing-'));
const copy = join(root, 'up', 'copy');
let rule: LoopbackStage;
let bucketEnv: Record<string, string>;

beforeAll(async () => {
  mkdirSync(join(copy, DAY, 'partition=0'), { recursive: true });
  writeFileSync(join(copy, OBJECT), RECORD);
  mkdirSync(join(root, 'empty'));
  mkdirSync(join(root, 'other'));
  writeFileSync(join(root, 'other', 'holiday.jpg'), 'x');
  rule = await startLoopbackStage();
  rule.broker.createTopic('public/default/replay');
  const { PULSAR_TOPIC: _, ...others } = rule.env;
  bucketEnv = others;
  const silent = () => undefined;
  const logger = { debug: silent, info: silent, warn: silent, error: silent };
  const store = createCosStore(
    parseCosConfig(
      {
        ...rule.env,
        TENCENTCLOUD_SECRETID: rule.env['TENCENTCLOUD_SECRET_ID'],
        TENCENTCLOUD_SECRETKEY: rule.env['TENCENTCLOUD_SECRET_KEY'],
      },
      'shell',
    ),
    { logger },
  );
  for (const [key, text] of [
    [`tdmq/${OBJECT}`, RECORD],
    ['logs/2026/11/23/a.gz', 'x'],
  ] as const) {
    const bytes = Buffer.from(text);
    const attributes = { metadata: {}, contentType: 'application/x-ndjson' };
    await store.create(key, { chunks: [bytes], sizeBytes: bytes.length }, crc64([bytes]), attributes);
  }
  await store.close();
});
afterAll(async () => {
  await rule.close();
  rmSync(root, { recursive: true, force: true });
});

async function run(args: readonly string[], env: Record<string, string> = {}) {
  const { terminal, out, err } = testTerminal({ PULSAR_SERVICE_URL: rule.broker.httpUrl, ...env });
  const code = await main(['archive', ...args], terminal);
  return { code, out: out(), err: err() };
}

describe.each(COMMANDS)('archive %s', (...command) => {
  test.each([
    ['an empty folder', 'empty', 'the folder is empty'],
    ['a folder of something else', 'other', 'here are holiday.jpg'],
    ['a folder that is too shallow', 'up', `here are ${TOPIC} under the folder copy/`],
    ['a folder that is far too shallow', '.', `here are ${TOPIC} under the folder up/copy/`],
    ['the folder of a tenant', 'up/copy/public', 'the folder above: --folder ../'],
    ['the folder of a topic', `up/copy/${TOPIC}`, '3 levels above'],
    ['the folder of a date', `up/copy/${DAY}`, '4 levels above'],
    ['the folder of a partition', `up/copy/${DAY}/partition=0`, '5 levels above'],
  ])('fails over %s', async (_, folder, message) => {
    const { code, out, err } = await run([...command, '--folder', join(root, folder)]);
    expect(code).toBe(1);
    expect(err).toContain(message);
    expect(out).toBe('');
  });

  test.each([
    [
      'a topic that is not there',
      ['--topic', 'public/default/order'],
      'Did you mean --topic public/default/orders',
    ],
    ['a prefix that is not there', ['--prefix', 'tdm/'], 'Did you mean --prefix tdmq/'],
    ['the prefix of a namespace', ['--prefix', 'tdmq/public/default/'], 'Did you mean --prefix tdmq/'],
    ['the bucket instead of its prefix', ['--prefix', ''], 'Did you mean --prefix tdmq/'],
  ])('fails over %s of a bucket', async (_, args, message) => {
    const { code, err } = await run([...command, ...args], bucketEnv);
    expect(code).toBe(1);
    expect(err).toContain(message);
  });
});

test.each([
  ['ls'],
  ['verify'],
  ['index'],
  ['recover'],
  ['restore', '--to', 'public/default/replay', '--dry-run'],
])('archive %s --json says it as JSON', async (...command) => {
  const { code, out } = await run([...command, '--json', '--folder', join(root, 'up')]);
  expect(code).toBe(1);
  expect(JSON.parse(out).error).toMatchObject({ code: 'config', message: expect.stringContaining(TOPIC) });
});

test.each([
  ['--from', '2026-11-24'],
  ['--key', 'another'],
  ['--partition', '7'],
  ['--from-id', '13:0:0:0'],
])('cat and restore with %s %s select nothing, and say what there is', async (...selection) => {
  for (const command of [['cat'], ['restore', '--to', 'public/default/replay', '--dry-run']]) {
    const { code, err } = await run([...command, '--folder', copy, ...selection]);
    expect(code, command[0]).toBe(1);
    expect(err).toContain('Here are objects of 2026-11-23');
  }
});

test('what is there is found, as without these mistakes', async () => {
  cpSync(copy, join(root, 'again'), { recursive: true });
  for (const command of [['ls'], ['cat'], ['verify'], ['index'], ['recover']])
    expect((await run([...command, '--folder', join(root, 'again')])).code, command[0]).toBe(0);
});
