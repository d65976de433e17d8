// `tdmq-backup archive copy` over the stand-ins: what real runs stored is copied to a folder and to other buckets, and can
// be verified there alone.
import { randomBytes } from 'node:crypto';
import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import { main } from '../../../src/cli/main.ts';
import { parseCosConfig } from '../../../src/config.ts';
import { createCosStore } from '../../../src/cos/store.ts';
import { systemClock } from '../../../src/lib/clock.ts';
import { retryingStore } from '../../../src/retrying-store.ts';
import { type LoopbackStage, startLoopbackStage, TOPIC } from '../../stage/loopback-stage.ts';
import { testTerminal } from '../terminal.ts';

vi.setConfig({ testTimeout: 60_000 });

const SECOND = 'public/default/payments';
const OTHER = 'other-1250000000';
let rule: LoopbackStage;
let folder: string;
/** The clock of COS is so far ahead. */
let aheadMs = 0;

/** Filled once by real runs; each test has its own bucket with the same objects. */
let source: LoopbackStage;
beforeAll(async () => {
  source = await filledStage();
});
afterAll(() => source.close());

const stageOptions = { otherBuckets: [OTHER], cosClock: () => Date.now() + aheadMs };

async function filledStage(): Promise<LoopbackStage> {
  rule = await startLoopbackStage(stageOptions);
  rule.broker.createTopic(SECOND, 1);
  // Large enough that it is stored in parts.
  for (const [topic, size] of [
    [TOPIC, 10],
    [SECOND, 280_000],
  ] as const) {
    const messages = Array.from({ length: 24 }, (_, i) => ({ payload: randomBytes(size), key: `k${i % 4}` }));
    rule.broker.publish(topic, messages);
    const name = topic.split('/').at(-1) as string;
    await run(topic, { RULE_NAME: `${name}-backup`, FILE_MAX_MESSAGES: topic === TOPIC ? '10' : '24' });
  }
  return rule;
}

beforeEach(async () => {
  aheadMs = 0;
  rule = await startLoopbackStage({ ...stageOptions, archiveOf: source });
  folder = mkdtempSync(join(tmpdir(), 'tdmq-backup-copy-'));
});
afterEach(async () => {
  await rule.close();
  rmSync(folder, { recursive: true, force: true });
});

/** For what goes on with the topics of the archive. */
async function refill(): Promise<void> {
  await rule.close();
  await filledStage();
}

async function run(topic: string, env: Record<string, string> = {}) {
  const { terminal, err } = testTerminal({ ...rule.env, PULSAR_TOPIC: topic, ...env });
  expect(await main(['run'], terminal), err()).toBe(0);
}

async function call(args: readonly string[], env: Record<string, string> = {}, signal?: AbortSignal) {
  const { terminal, out, err } = testTerminal({ ...rule.env, PULSAR_TOPIC: '', ...env }, signal);
  const code = await main(['archive', ...args], terminal);
  return { code, out: out(), err: err() };
}

const copy = (...args: string[]) => call(['copy', ...args]);
async function verified(...args: string[]) {
  const { code, out, err } = await call(['verify', '--json', ...args]);
  expect(code, out + err).toBe(0);
  return JSON.parse(out);
}

const sourceKeys = () => rule.cos.objects().map(({ key }) => key);
const TO_OTHER = ['--to-bucket', OTHER, '--to-prefix', 'house/'];
const atOther = (key: string) => rule.cos.object(key.replace('tdmq/', 'house/'), OTHER);
const countOf = (kind: string) => rule.cos.requests().filter((one) => one.kind === kind).length;

function expectCopied() {
  for (const key of sourceKeys()) {
    const [from, to] = [rule.cos.object(key), atOther(key)];
    expect(to?.bytes.equals(from?.bytes as Buffer), key).toBe(true);
    const { 'x-cos-storage-class': _, ...headers } = to?.headers ?? {};
    expect(headers, key).toEqual(from?.headers);
  }
}

test('everything goes to a folder, byte for byte, with the times of its objects, and is verified and restored there', async () => {
  const { code, out, err } = await copy('--to-folder', folder);
  expect(code, err).toBe(0);
  expect(out).toContain('archive verify holds the copy against it');
  for (const { key, lastModifiedMs } of rule.cos.objects()) {
    const path = join(folder, key.replace('tdmq/', ''));
    expect(readFileSync(path).equals(rule.cos.object(key)?.bytes as Buffer), key).toBe(true);
    expect(Math.abs(statSync(path).mtimeMs - lastModifiedMs)).toBeLessThan(1_000);
  }
  const report = await verified('--folder', folder);
  expect(report).toMatchObject({ leftOut: 0, messages: 48 });
  expect(report.copies).toMatchObject([{ source: 'test-1250000000/tdmq/', selection: {} }]);
  const again = JSON.parse((await copy('--to-folder', folder, '--json')).out);
  expect(again).toMatchObject({ copied: 0, copiedBytes: 0, objects: report.objects });
  expect(files(folder)).toHaveLength(sourceKeys().length + 1);
});

/** All files below a folder. */
function files(of: string): string[] {
  return readdirSync(of, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

test('between buckets COS copies by itself: nothing is read, and metadata and type are as they were', async () => {
  const reads = countOf('get');
  const { code, err, out } = await copy(...TO_OTHER);
  expect(code, err).toBe(0);
  expect(out).toContain('are at other-1250000000/house/');
  expectCopied();
  expect(countOf('copy')).toBe(sourceKeys().length);
  expect(
    rule.cos
      .requests()
      .slice(reads)
      .filter(({ kind, bucket, key }) => kind === 'get' && bucket !== OTHER && key.includes('.jsonl')),
  ).toEqual([]);
  const report = await verified('--bucket', OTHER, '--prefix', 'house/');
  expect(report).toMatchObject({ messages: 48, leftOut: 0 });
  const copies = countOf('copy');
  expect(JSON.parse((await copy(...TO_OTHER, '--json')).out)).toMatchObject({ copied: 0 });
  expect(countOf('copy')).toBe(copies);
});

test.each([
  ['may not copy', { type: 'error', code: 'AccessDenied' }],
  ['cannot copy', { type: 'status', status: 501, code: 'NotImplemented' }],
] as const)('where COS %s, everything goes through this machine, and it is asked once', async (_, action) => {
  rule.cos.addFault({ kind: 'copy', times: 1_000, action });
  const { code, err } = await copy(...TO_OTHER, '--parallel', '1');
  expect(code, err).toBe(0);
  expect(countOf('copy')).toBe(1);
  expectCopied();
  expect(await verified('--bucket', OTHER, '--prefix', 'house/')).toMatchObject({ messages: 48 });
});

test('a copy that COS begins and does not end is found by its checksum, and made here', async () => {
  rule.cos.addFault({ kind: 'copy', times: 2, action: { type: 'error-in-200' } });
  rule.cos.addFault({ kind: 'copy', nth: 3, action: { type: 'reset', when: 'after-commit' } });
  expect((await copy(...TO_OTHER)).code).toBe(0);
  expectCopied();
});

test('a local copy goes to a bucket with the metadata that verify asks for, also of what no manifest names', async () => {
  expect((await copy('--to-folder', folder)).code).toBe(0);
  const manifest = files(folder).find(
    (path) => path.includes('rule=orders-backup') && path.endsWith('.json'),
  ) as string;
  unlinkSync(manifest);
  rmSync(join(folder, '_copies'), { recursive: true });
  const { code, err } = await copy('--folder', folder, ...TO_OTHER);
  expect(code, err).toBe(0);
  expect(await verified('--bucket', OTHER, '--prefix', 'house/')).toMatchObject({
    messages: 48,
    damagedObjects: 0,
  });
  for (const key of sourceKeys().filter((one) => one.includes('.jsonl')))
    expect(atOther(key)?.headers).toMatchObject({
      'x-cos-meta-format': 'tdmq-backup/1',
      'content-type': 'application/x-ndjson',
    });
});

test.each([
  ['a topic', ['--topic', SECOND], 24],
  ['a partition', ['--topic', TOPIC, '--partition', '1'], 12],
])('%s alone is verified and read, though manifests name more', async (_, selection, messages) => {
  expect((await copy('--to-folder', folder, ...selection)).code).toBe(0);
  const report = await verified('--folder', folder);
  expect(report).toMatchObject({ messages, damagedObjects: 0 });
  const { out, code } = await call(['cat', '--folder', folder]);
  expect([code, out.trimEnd().split('\n').length]).toEqual([0, messages]);
  const { out: text } = await call(['verify', '--folder', folder]);
  expect(text).toContain('a copy of test-1250000000/tdmq/, made at ');
});

test('raw entries, recovered objects and kept schemas go along', async () => {
  await refill();
  const metadata = {
    producerName: 'p',
    sequenceId: 5,
    publishTime: Date.now(),
    compression: 9,
    uncompressedSize: 99,
  };
  rule.broker.appendEntry(`${TOPIC}-partition-0`, metadata, Buffer.from('codec of tomorrow'));
  await run(TOPIC, { RULE_NAME: 'orders-backup' });
  expect((await copy('--to-folder', folder, '--topic', TOPIC)).code).toBe(0);
  const raw = files(join(folder, '_unreadable'));
  expect(raw.map((path) => path.split('.').at(-1)).toSorted()).toEqual(['bin', 'json']);
  const report = await verified('--folder', folder);
  expect(report).toMatchObject({ unreadable: 1, messages: 24 });
});

test('a settings file of its own names the target and its keys', async () => {
  const file = join(folder, 'target.env');
  const { COS_REGION, COS_ENDPOINT, TENCENTCLOUD_SECRET_ID, TENCENTCLOUD_SECRET_KEY } = rule.env;
  const settings = { COS_BUCKET: OTHER, COS_PREFIX: 'house/', COS_REGION, COS_ENDPOINT };
  const keys = { TENCENTCLOUD_SECRET_ID, TENCENTCLOUD_SECRET_KEY };
  writeFileSync(
    file,
    Object.entries({ ...settings, ...keys })
      .map(([name, value]) => `${name}=${value}\n`)
      .join(''),
  );
  expect((await copy('--to-env-file', file)).code).toBe(0);
  expectCopied();
  const page = join(folder, 'report');
  await verified('--bucket', OTHER, '--prefix', 'house/', '--report', page);
  expect(readFileSync(`${page}.html`, 'utf8')).toContain('test-1250000000/tdmq/, made at ');
});

test('what a killed copy has left of an object in parts is removed later, and what is under way is not', async () => {
  const { TENCENTCLOUD_SECRET_ID: TENCENTCLOUD_SECRETID, TENCENTCLOUD_SECRET_KEY: TENCENTCLOUD_SECRETKEY } =
    rule.env;
  const env = { ...rule.env, COS_BUCKET: OTHER, TENCENTCLOUD_SECRETID, TENCENTCLOUD_SECRETKEY };
  const logger = { debug() {}, info() {}, warn() {}, error() {} };
  const inner = createCosStore(parseCosConfig(env, 'shell'), { logger });
  const store = retryingStore(inner, { clock: systemClock, logger });
  const attributes = { metadata: {}, contentType: 'application/x-ndjson' };
  const uploads = async () => {
    const keys: string[] = [];
    for await (const { key } of store.listUploads('')) keys.push(key);
    return keys;
  };
  await store.startUpload('house/t/ns/killed.jsonl', attributes);
  await store.startUpload('of-others/t/ns/under-way.jsonl', attributes);
  expect((await copy(...TO_OTHER)).code).toBe(0);
  expect(await uploads()).toHaveLength(2);
  aheadMs += 2 * 3_600_000;
  expect((await copy(...TO_OTHER)).code).toBe(0);
  expect(await uploads()).toEqual(['of-others/t/ns/under-way.jsonl']);
  await store.close();
});

test('says which topics of the archive it leaves behind', async () => {
  const { out } = await copy('--to-folder', folder, '--topic', TOPIC);
  expect(out).toContain(`1 other topics of this archive are no part of the copy: persistent://${SECOND}`);
  const { out: json } = await copy('--to-folder', folder, '--json');
  expect(JSON.parse(json).otherTopics).toEqual([]);
});

test('replaces nothing, and names what is there with other bytes', async () => {
  expect((await copy('--to-folder', folder)).code).toBe(0);
  const path = files(folder).find((one) => one.endsWith('.jsonl')) as string;
  truncateSync(path, 10);
  const { code, err } = await copy('--to-folder', folder);
  expect(code).toBe(1);
  expect(err).toContain('is at the target with other bytes');
  expect(statSync(path).size).toBe(10);
});

test('stopped by Ctrl-C there is nothing half and no note, and the same command goes on', async () => {
  const interrupt = new AbortController();
  let puts = 0;
  rule.cos.setOnRequest((kind) => {
    if (kind === 'get' && ++puts === 6) interrupt.abort(new Error('Ctrl-C'));
  });
  const first = await call(['copy', '--to-folder', folder, '--parallel', '1'], {}, interrupt.signal);
  rule.cos.setOnRequest(undefined);
  expect([first.code, first.err]).toEqual([130, expect.stringContaining('The same command continues')]);
  for (const path of files(folder).filter((one) => !one.includes('partial'))) {
    const key = `tdmq/${path.slice(folder.length + 1)}`;
    expect(readFileSync(path).equals(rule.cos.object(key)?.bytes as Buffer), key).toBe(true);
  }
  expect(files(folder).filter((path) => path.includes('_copies'))).toEqual([]);
  expect((await copy('--to-folder', folder)).code).toBe(0);
  expect(await verified('--folder', folder)).toMatchObject({ messages: 48 });
});

test('names what is archived, copies the rest, and writes no note before all is there', async () => {
  await refill();
  const names = sourceKeys().filter((key) => key.includes('.jsonl'));
  const cold = names[0] as string;
  await run(TOPIC, { RULE_NAME: 'orders-backup' });
  rule.broker.publish(TOPIC, [{ payload: 'cold' }]);
  await run(TOPIC, { RULE_NAME: 'orders-backup', COS_STORAGE_CLASS: 'DEEP_ARCHIVE' });
  const archived = sourceKeys().filter((key) => key.includes('.jsonl') && !names.includes(key));
  expect([archived.length, cold.length > 0]).toEqual([1, true]);
  for (const args of [['--dry-run'], []]) {
    const { code, err } = await copy('--to-folder', folder, ...args);
    expect(code).toBe(1);
    expect(err).toContain(archived[0]);
    expect(err).toContain('archive thaw');
  }
  expect(files(folder).filter((path) => path.includes('_copies'))).toEqual([]);
  expect(files(folder).filter((path) => path.endsWith('.jsonl'))).toHaveLength(names.length);
});

test('a dry run copies nothing, and says how much it would be', async () => {
  const { code, out } = await copy('--to-folder', join(folder, 'new'), '--dry-run');
  expect(code).toBe(0);
  expect(out).toMatch(/Would copy \d+ objects, .* with 2 manifests/);
  expect(files(folder)).toEqual([]);
});

test.each([
  ['no target', []],
  ['two targets', ['--to-folder', 'x', '--to-bucket', 'y-1250000000']],
  ['filters of messages', ['--to-folder', 'x', '--key', 'k']],
  ['a time of storing', ['--to-folder', 'x', '--stored-until', '2026-11-23']],
  ['a folder without a name', ['--to-folder', '']],
])('%s: wrong usage', async (_, args) => {
  expect((await copy(...args)).code).toBe(2);
});

test.each([
  ['the archive itself', ['--to-prefix', 'tdmq/'], 'is the archive itself'],
  ['a place inside of it', ['--to-prefix', 'tdmq/x/'], 'is inside of the archive'],
  [
    'nothing that is selected',
    ['--to-prefix', 'x/', '--from', '2020-01-01', '--until', '2020-01-02'],
    'nothing found',
  ],
  ['a topic that is not there', ['--to-prefix', 'x/', '--topic', 'public/default/nowhere'], 'nothing found'],
])('%s is refused', async (_, args, text) => {
  const { code, err } = await copy(...args);
  expect([code, err]).toEqual([1, expect.stringContaining(text)]);
  expect(sourceKeys().filter((key) => /^(?:tdmq\/)?x\//.test(key))).toEqual([]);
});

test('a local copy is not copied into itself, by no name that it has', async () => {
  const own = join(folder, 'own');
  expect((await copy('--to-folder', own)).code).toBe(0);
  symlinkSync(own, join(folder, 'link'));
  const before = files(folder);
  for (const [to, text] of [
    [own, 'is the archive itself'],
    [`${own}/`, 'is the archive itself'],
    [join(folder, 'link'), 'is the archive itself'],
    [join(own, 'sub', 'new'), 'is inside of the archive'],
    [join(folder, 'link', 'new'), 'is inside of the archive'],
    [join(own, '_runs'), 'is inside of the archive'],
    [join(files(own)[0] as string, 'new'), 'is no folder'],
  ] as const) {
    const { code, err } = await copy('--folder', own, '--to-folder', to);
    expect([to, code, err]).toEqual([to, 1, expect.stringContaining(text)]);
  }
  expect(files(folder)).toEqual(before);
  // A name that only begins as that of the archive is another place.
  expect((await copy('--folder', own, '--to-folder', `${own}-new`)).code).toBe(0);
});

test.runIf(process.platform === 'linux')(
  'a folder that the system does not let anybody make fails',
  async () => {
    const { code, err } = await copy('--to-folder', '/proc/new');
    expect([code, err]).toEqual([1, expect.stringContaining('/proc/new')]);
  },
);
