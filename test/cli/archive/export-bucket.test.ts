// Tables in a bucket: an object appears and is replaced as a whole; what takes several is behind a guard, whatever fails.
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { main } from '../../../src/cli/main.ts';
import type { Fault } from '../../../src/local/cos/fault-plan.ts';
import { type LoopbackStage, startLoopbackStage, TOPIC } from '../../stage/loopback-stage.ts';
import { testTerminal } from '../terminal.ts';
import { allTables, query } from './exported.ts';

/** All is published on one day, also at midnight. */
const DAY_MS = Date.UTC(2026, 9, 1);

let rule: LoopbackStage;
beforeAll(async () => {
  rule = await startLoopbackStage();
});
afterAll(() => rule.close());

async function command(...args: string[]) {
  const { terminal, out, err } = testTerminal({ ...rule.env });
  const code = await main(args, terminal);
  return { code, out: out(), err: err() };
}

const to = () => `cos://${rule.env['COS_BUCKET']}/tables/`;
const exportTables = (...args: string[]) => command('archive', 'export', '--to', to(), ...args);

let published = 0;
/** Publishes to the topic, and backs it up. */
async function fill(count: number, rest: () => string = () => ''): Promise<void> {
  rule.broker.publish(
    `${TOPIC}-partition-0`,
    Array.from({ length: count }, () => ({
      payload: `message ${published++}${rest()}`,
      publishTimeMs: DAY_MS,
    })),
  );
  expect((await command('run')).code).toBe(0);
}

const fillLarge = (count: number) => fill(count, () => randomBytes(3_000).toString('base64'));

const tables = () =>
  rule.cos
    .objects()
    .map(({ key }) => key)
    .filter((key) => key.endsWith('.parquet'));

const rows = async (): Promise<number> => {
  const [{ n }] = (await query(`SELECT count(*) AS n FROM ${allTables(join(rule.folder, 'tables'))}`)) as [
    { n: string },
  ];
  return Number(n);
};

it('is one object a day, which the next export replaces', async () => {
  await fill(10);
  expect(await exportTables()).toMatchObject({ code: 0, err: '' });
  expect(tables()).toEqual([
    expect.stringMatching(/^tables\/public\/default\/orders\/date=[\d-]+\/part-00000\.parquet$/),
  ]);
  const [first] = tables().map((key) => rule.cos.object(key)?.bytes);
  await fill(5);
  expect((await exportTables()).code).toBe(0);
  expect(tables()).toHaveLength(1);
  expect(rule.cos.object(tables()[0] as string)?.bytes.equals(first as Buffer)).toBe(false);
  expect(rule.cos.uploads()).toEqual([]);
  const again = await exportTables();
  expect(again.out).toContain('0 days written');
});

it.each<[string, Fault, number]>([
  ['goes on where calls fail', { kind: 'part', times: 2, action: { type: 'status', status: 503 } }, 0],
  [
    'knows its object where the answer was lost',
    { kind: 'complete', times: 'always', action: { type: 'reset', when: 'after-commit' } },
    0,
  ],
  [
    'leaves the day as it was where the upload fails',
    { kind: 'complete', times: 'always', action: { type: 'error', code: 'AccessDenied' } },
    1,
  ],
])('%s', async (_, fault, code) => {
  const [key] = tables();
  const before = rule.cos.object(key as string)?.bytes;
  await fill(3);
  rule.cos.addFault({ ...fault, key: 'tables/' });
  const answer = await exportTables();
  rule.cos.clearFaults();
  expect(answer).toMatchObject({ code });
  const after = rule.cos.object(key as string)?.bytes;
  expect(after?.equals(before as Buffer)).toBe(code === 1);
  expect(rule.cos.uploads()).toEqual([]);
  expect(await rows()).toBe(published - (code === 0 ? 0 : 3));
  expect((await exportTables()).code).toBe(0);
  expect(await rows()).toBe(published);
});

it('is several objects a day of the size that is asked for, which appear and are replaced behind a guard', async () => {
  await fillLarge(300);
  const [before] = tables();
  expect((await exportTables('--file-size', '200kB')).code).toBe(0);
  const first = tables();
  expect(first.length).toBeGreaterThan(3);
  expect(first).not.toContain(before);
  const sizes = first.map((key) => rule.cos.object(key)?.bytes.byteLength as number);
  for (const size of sizes) expect(size).toBeLessThan(320_000);
  for (const size of sizes.slice(0, -1)) expect(size).toBeGreaterThan(140_000);
  expect(await rows()).toBe(published);
  await fillLarge(10);
  expect((await exportTables('--file-size', '200kB')).code).toBe(0);
  expect(tables().slice(0, first.length - 1)).toEqual(first.slice(0, -1));
  expect(await rows()).toBe(published);
  await fillLarge(10);
  // What several steps did not bring to their end is taken back; else no engine reads it.
  const there = tables();
  const second = Number(/(\d+)\.parquet$/.exec(there.at(-1) as string)?.[1]) + 2;
  rule.cos.addFault({
    kind: 'complete',
    times: 'always',
    key: `part-${String(second).padStart(5, '0')}`,
    action: { type: 'error', code: 'AccessDenied' },
  });
  expect((await exportTables('--file-size', '300kB')).code).toBe(1);
  rule.cos.clearFaults();
  expect(tables()).toEqual(there);
  expect(await rows()).toBe(published - 10);
  expect(rule.cos.uploads()).toEqual([]);
  // As a kill just before the last step leaves it.
  rule.cos.addFault({
    kind: 'delete',
    times: 'always',
    key: 'this-day',
    action: { type: 'error', code: 'AccessDenied' },
  });
  expect((await exportTables('--file-size', '300kB')).code).toBe(1);
  rule.cos.clearFaults();
  await expect(rows()).rejects.toThrow('this-day-is-being-replaced');
  expect((await exportTables('--file-size', '300kB')).code).toBe(0);
  expect(await rows()).toBe(published);
  expect((await exportTables('--file-size', '256MB')).code).toBe(0);
  expect(tables().length).toBeGreaterThan(1);
  await fillLarge(1);
  expect((await exportTables('--file-size', '256MB')).code).toBe(0);
  expect(tables()).toHaveLength(1);
  expect(await rows()).toBe(published);
});

it('lets no query answer wrong while it replaces a day of several objects by others', async () => {
  const reads = { good: 0, failed: 0, wrong: 0 };
  for (const size of ['150kB', '300kB', '256MB', '150kB', '150kB']) {
    await fillLarge(5);
    const right = [published - 5, published];
    let isOver = false;
    const exporting = exportTables('--file-size', size).finally(() => {
      isOver = true;
    });
    while (!isOver) {
      const found = await rows().catch(() => undefined);
      if (found === undefined) reads.failed++;
      else if (right.includes(found)) reads.good++;
      else reads.wrong++;
    }
    expect((await exporting).code).toBe(0);
    expect(await rows()).toBe(published);
  }
  expect(reads).toMatchObject({ wrong: 0 });
  expect(reads.good).toBeGreaterThan(5);
});

it('stores files of a day as they are made, and removes what a killed export has left of them', async () => {
  await fillLarge(300);
  // A kill gives no call back: here COS refuses to end the uploads.
  rule.cos.addFault({
    kind: ['complete', 'abort'],
    times: 'always',
    key: 'tables/',
    action: { type: 'error', code: 'AccessDenied' },
  });
  const calls = rule.cos.requests().length;
  expect((await exportTables('--file-size', '150kB')).code).toBe(1);
  rule.cos.clearFaults();
  expect(rule.cos.uploads().length).toBeGreaterThan(3);
  const kinds = rule.cos
    .requests()
    .slice(calls)
    .map(({ kind }) => kind);
  expect(kinds.indexOf('part')).toBeLessThan(kinds.lastIndexOf('init'));
  expect((await exportTables('--file-size', '150kB')).code).toBe(0);
  expect(rule.cos.uploads()).toEqual([]);
  expect(await rows()).toBe(published);
});

it('waits for another export of the same topic', async () => {
  await fillLarge(50);
  const all = await Promise.all([exportTables(), exportTables()]);
  expect(all.map(({ code }) => code)).toEqual([0, 0]);
  expect(all.filter(({ err }) => err.includes('waiting for another export'))).toHaveLength(1);
  expect(await rows()).toBe(published);
  expect(rule.cos.objects().filter(({ key }) => key.endsWith('lock'))).toEqual([]);
});

it('does not wait for itself where the answer to its lock is lost', async () => {
  await fill(3);
  rule.cos.addFault({ kind: 'put', key: 'lock$', action: { type: 'reset', when: 'after-commit' } });
  expect(await exportTables()).toMatchObject({ code: 0, err: '' });
  expect(rule.cos.pendingFaults()).toEqual([]);
  expect(await rows()).toBe(published);
});

it('refuses a place that is inside of the archive', async () => {
  const { code, err } = await command(
    'archive',
    'export',
    '--to',
    `cos://${rule.env['COS_BUCKET']}/tdmq/tables/`,
  );
  expect({ code, err }).toEqual({ code: 2, err: expect.stringContaining('inside of the archive') });
});
