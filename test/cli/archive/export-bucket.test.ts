// Tables in a bucket: a day is one object, which appears and is replaced as a whole, whatever fails.
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { main } from '../../../src/cli/main.ts';
import type { Fault } from '../../../src/local/cos/fault-plan.ts';
import { type LoopbackStage, startLoopbackStage, TOPIC } from '../../stage/loopback-stage.ts';
import { testTerminal } from '../terminal.ts';
import { allTables, query } from './exported.ts';

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
const exportTables = () => command('archive', 'export', '--to', to());

let published = 0;
/** Publishes to the topic, and backs it up. */
async function fill(count: number): Promise<void> {
  rule.broker.publish(
    `${TOPIC}-partition-0`,
    Array.from({ length: count }, () => ({ payload: `message ${published++}` })),
  );
  expect((await command('run')).code).toBe(0);
}

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

it('refuses a place that is inside of the archive', async () => {
  const { code, err } = await command(
    'archive',
    'export',
    '--to',
    `cos://${rule.env['COS_BUCKET']}/tdmq/tables/`,
  );
  expect({ code, err }).toEqual({ code: 2, err: expect.stringContaining('inside of the archive') });
});
