// Times that no clock should tell, from the producer to the archive, through each command that reads it, and back.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { main } from '../../../src/cli/main.ts';
import { decodeRecord } from '../../../src/format/record.ts';
import { type LoopbackStage, startLoopbackStage } from '../../stage/loopback-stage.ts';
import { testTerminal } from '../terminal.ts';

const NOW_MS = Date.UTC(2026, 10, 23, 12);
const ODD = [-1, -86_400_000, -(2n ** 63n), Date.UTC(10_000, 0), 2 ** 53 - 1, 2n ** 53n, 2n ** 63n - 1n];
/** Each odd one begins a file, ends one, and is among others. */
const TIMES = ODD.flatMap((odd) => [odd, NOW_MS, NOW_MS + 1, NOW_MS + 2, odd, NOW_MS + 3, odd]);
const PLAIN = 'public/default/odd-times';
const TARGET = 'public/default/replay';
const folder = mkdtempSync(join(tmpdir(), 'tdmq-backup-times-'));
let rule: LoopbackStage;

beforeAll(async () => {
  rule = await startLoopbackStage();
  rule.broker.createTopic(PLAIN);
  rule.env['PULSAR_TOPIC'] = PLAIN;
  rule.broker.createTopic(TARGET);
  rule.broker.createSubscription(TARGET, 'backup');
  rule.broker.publish(
    PLAIN,
    TIMES.map((timeMs, i) => ({ payload: `message ${i}`, publishTimeMs: timeMs, eventTimeMs: timeMs })),
  );
  expect(await main(['run'], testTerminal({ ...rule.env, FILE_MAX_MESSAGES: '3' }).terminal)).toBe(0);
});
afterAll(async () => {
  await rule.close();
  rmSync(folder, { recursive: true, force: true });
});

async function archive(args: readonly string[], env: Record<string, string> = {}): Promise<string> {
  const { terminal, out, err } = testTerminal({ ...rule.env, ...env });
  expect(await main(['archive', ...args], terminal), err()).toBe(0);
  return out();
}
const cat = async (...args: string[]) =>
  (await archive(['cat', ...args])).split('\n').slice(0, -1).map(decodeRecord);

test('each message is a record with the number itself', async () => {
  expect((await cat()).map(({ publishTimeMs }) => publishTimeMs)).toEqual(TIMES);
  expect((await cat()).map(({ eventTimeMs }) => eventTimeMs)).toEqual(TIMES);
  expect(rule.cos.objects().filter(({ key }) => key.includes('_unreadable'))).toEqual([]);
});

test('verify calls none of the objects damaged', async () => {
  const report = JSON.parse(await archive(['verify', '--level', 'record', '--json']));
  expect(report).toMatchObject({ messages: TIMES.length, damagedObjects: 0, findings: [] });
});

test('ls, cat and the page of the archive tell them', async () => {
  expect(await archive(['ls'])).toContain('9223372036854775807');
  const { objects } = JSON.parse(await archive(['ls', '--json']));
  expect(objects[0]).toMatchObject({ date: '1970-01-01', firstPublishTime: '-1' });
  expect(await archive(['cat', '--format', 'table'])).toContain('-9223372036854775808');
  const path = join(folder, 'archive.html');
  await archive(['ls', '--html', path]);
  const page = readFileSync(path, 'utf8');
  expect(page.length).toBeLessThan(1_000_000);
  expect(page).toContain('Messages over time');
  expect(page).not.toMatch(/NaN|undefined|Invalid/);
});

test('a selection by time finds what is between them, and them', async () => {
  const chosen = async (...args: string[]) => (await cat(...args)).map(({ publishTimeMs }) => publishTimeMs);
  const expected = (fits: (one: number | bigint) => boolean) => TIMES.filter(fits);
  expect(await chosen('--from', '2026-11-23', '--until', '2026-11-24')).toEqual(
    expected((one) => one >= NOW_MS && one < NOW_MS + 86_400_000),
  );
  expect(await chosen('--until', '1970-01-01')).toEqual(expected((one) => one < 0));
  expect(await chosen('--from', '9999-12-31T23:59:59.999Z')).toEqual(
    expected((one) => one > Date.UTC(9999, 11, 31)),
  );
});

test('restore publishes the same event times again, and says which publish times there were', async () => {
  const report = JSON.parse(await archive(['restore', '--to', TARGET, '--json']));
  expect(report.messages).toBe(TIMES.length);
  const env = { PULSAR_TOPIC: TARGET, COS_PREFIX: 'replay/' };
  expect(await main(['run'], testTerminal({ ...rule.env, ...env }).terminal)).toBe(0);
  const restored = (await archive(['cat'], env)).split('\n').slice(0, -1).map(decodeRecord);
  expect(restored.map(({ eventTimeMs }) => eventTimeMs)).toEqual(TIMES);
  const reported = restored.map(({ properties }) => new Map(properties).get('tdmq-backup-publish-time'));
  expect(reported[0]).toBe('-1');
  expect(reported).toContain('-9223372036854775808');
});
