// Publish times that jump by weeks, as geo-replication leaves them: whatever the order, a selection by time finds every
// message of that time, from the bucket with and without manifests, and from copies that have lost one or both.
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { main } from '../../../src/cli/main.ts';
import { parseConfig } from '../../../src/config.ts';
import { createCosStore } from '../../../src/cos/store.ts';
import { decodeRecord } from '../../../src/format/record.ts';
import { silentLogger } from '../../fakes/loggers.ts';
import { type LoopbackStage, startLoopbackStage } from '../../stage/loopback-stage.ts';
import { testTerminal } from '../terminal.ts';

const TOPIC = 'public/default/replicated';
const NOW_MS = Date.UTC(2026, 10, 23, 12);
const WEEK_MS = 7 * 86_400_000;
const DAYS = [0, -3, 0, 5, -1, 0, -8, -8, 0, 2, 0, -3, -20, 0];
/** Files of four begin and end today; what is between them is of other weeks, and one file begins weeks ago. */
const TIMES = DAYS.map((weeks, i) => NOW_MS + weeks * WEEK_MS + i * 1_000);
let rule: LoopbackStage;
const folder = mkdtempSync(join(tmpdir(), 'tdmq-backup-jumps-'));

beforeAll(async () => {
  rule = await startLoopbackStage();
  rule.broker.createTopic(TOPIC);
  rule.broker.createTopic('public/default/replay');
  rule.env['PULSAR_TOPIC'] = TOPIC;
  rule.broker.publish(
    TOPIC,
    TIMES.map((publishTimeMs, i) => ({ payload: `message ${i}`, publishTimeMs })),
  );
  expect(await main(['run'], testTerminal({ ...rule.env, FILE_MAX_MESSAGES: '4' }).terminal)).toBe(0);
  const [object] = rule.cos.objects();
  cpSync(join(object?.file?.slice(0, -object.key.length) as string, 'tdmq'), folder, { recursive: true });
});
afterAll(async () => {
  await rule.close();
  rmSync(folder, { recursive: true });
});

async function archive(args: readonly string[], env: Record<string, string>) {
  const { terminal, out, err } = testTerminal(env);
  expect(await main(['archive', ...args], terminal), err()).toBe(0);
  return out();
}

const hour = (timeMs: number) => [
  ...['--from', new Date(timeMs - 1_800_000).toISOString()],
  ...['--until', new Date(timeMs + 1_800_000).toISOString()],
];

type Place = readonly [name: string, prepare: () => void | Promise<void>, where: readonly string[]];
const places: readonly Place[] = [
  ['the bucket', () => undefined, []],
  ['a copy', () => undefined, ['--folder', folder]],
  [
    'a copy without manifests',
    () => rmSync(join(folder, '_runs'), { recursive: true, force: true }),
    ['--folder', folder],
  ],
  [
    'the bucket without manifests, as killed runs leave it',
    async (): Promise<void> => {
      const { TENCENTCLOUD_SECRET_ID, TENCENTCLOUD_SECRET_KEY, ...env } = rule.env;
      const keys = {
        TENCENTCLOUD_SECRETID: TENCENTCLOUD_SECRET_ID,
        TENCENTCLOUD_SECRETKEY: TENCENTCLOUD_SECRET_KEY,
      };
      const store = createCosStore(parseConfig({ ...env, ...keys }).cos, { logger: silentLogger });
      for (const { key } of rule.cos.objects()) if (key.includes('/_runs/')) await store.admin.remove(key);
      await store.close();
    },
    [],
  ],
];
describe.each(places)('%s', (_, prepare, where) => {
  beforeAll(() => prepare());

  it('cat and restore find every message of an hour, wherever it is', async () => {
    for (const weeks of new Set(DAYS)) {
      const [from, until] = [NOW_MS + weeks * WEEK_MS - 1_800_000, NOW_MS + weeks * WEEK_MS + 1_800_000];
      const expected = TIMES.filter((timeMs) => timeMs >= from && timeMs < until);
      const args = [...where, ...hour(NOW_MS + weeks * WEEK_MS)];
      const text = await archive(['cat', ...args], where.length > 0 ? {} : rule.env);
      const found = text
        .trimEnd()
        .split('\n')
        .map((line) => decodeRecord(line).publishTimeMs);
      expect(found.toSorted(), `${weeks} weeks`).toEqual(expected.toSorted());
      const restore = ['restore', '--to', 'public/default/replay', '--dry-run', '--json', ...args];
      const report = JSON.parse(await archive(restore, rule.env));
      expect(report.messages, `${weeks} weeks`).toBe(expected.length);
    }
  });
});

it('reads no object that metadata places in another time', async () => {
  const before = rule.cos.requests().length;
  await archive(['cat', ...hour(NOW_MS - 20 * WEEK_MS)], rule.env);
  const read = rule.cos
    .requests()
    .slice(before)
    .filter(({ kind, key }) => kind === 'get' && key.endsWith('.jsonl'));
  expect(new Set(read.map(({ key }) => key)).size).toBe(1);
});
