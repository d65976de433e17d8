// `tdmq-backup run` over the stand-ins: log lines or progress, the time limit, and Ctrl-C.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { main } from '../../src/cli/main.ts';
import { type LoopbackStage, startLoopbackStage, TOPIC } from '../stage/loopback-stage.ts';
import { testTerminal } from './terminal.ts';

let rule: LoopbackStage;
beforeEach(async () => {
  rule = await startLoopbackStage();
});
afterEach(() => rule.close());

const publish = (count: number) =>
  rule.broker.publish(
    TOPIC,
    Array.from({ length: count }, (_, i) => ({ payload: `message ${i}` })),
  );

/** The values of all stored records. */
const stored = () =>
  rule.cos
    .objects()
    .filter(({ key }) => key.endsWith('.jsonl'))
    .flatMap(({ key }) => rule.cos.object(key)?.bytes.toString().trimEnd().split('\n') ?? [])
    .map((line) => JSON.parse(line).value);

test('in a pipe it writes the log lines of the function, the summary last, and exits with 0', async () => {
  publish(40);
  const { terminal, out, err } = testTerminal(rule.env);
  expect(await main(['run'], terminal)).toBe(0);
  const lines = out()
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  expect(lines[0]).toMatchObject({ message: 'run started', rule: 'orders-backup' });
  expect(lines.at(-1)).toMatchObject({ message: 'run finished', messages: 40, stopReason: 'caught_up' });
  expect(err()).toBe('');
  expect(stored()).toHaveLength(40);
});

test('at a terminal it shows progress and one line at the end, and no log lines', async () => {
  publish(40);
  const { terminal, out } = testTerminal({ ...rule.env, NO_COLOR: '1' });
  terminal.stdout.isTTY = true;
  expect(await main(['run'], terminal)).toBe(0);
  expect(out()).toMatch(/✓ 40 messages in 2 objects, [\d.]+ kB, [\d.]+ s: caught up\n$/);
  expect(out()).not.toContain('{');
});

test('--logs writes log lines at a terminal too', async () => {
  const { terminal, out } = testTerminal(rule.env);
  terminal.stdout.isTTY = true;
  expect(await main(['run', '--logs'], terminal)).toBe(0);
  expect(JSON.parse(out().trimEnd().split('\n').at(-1) as string)).toMatchObject({ message: 'run finished' });
});

test('Ctrl-C stores and acknowledges what is open, exits with 130, and the next run goes on from there', async () => {
  publish(2_000);
  const interrupt = new AbortController();
  rule.cos.setOnRequest((kind) => {
    if (kind === 'put') interrupt.abort(new Error('Ctrl-C'));
  });
  const env = { ...rule.env, FILE_MAX_MESSAGES: '10' };
  const first = testTerminal(env, interrupt.signal);
  expect(await main(['run'], first.terminal), first.err()).toBe(130);
  const inFirst = stored().length;
  expect(inFirst).toBeGreaterThan(0);
  expect(inFirst).toBeLessThan(2_000);
  expect(rule.broker.subscriptionBacklog(TOPIC, 'backup')).toBe(2_000 - inFirst);
  rule.cos.setOnRequest(undefined);
  expect(await main(['run'], testTerminal(env).terminal)).toBe(0);
  expect(new Set(stored()).size).toBe(2_000);
  expect(stored()).toHaveLength(2_000);
});

test('a run that fails exits with 1 and says what, where and what to do', async () => {
  const { terminal, out, err } = testTerminal({ ...rule.env, COS_BUCKET: 'missing-1250000000' });
  publish(1);
  expect(await main(['run'], terminal)).toBe(1);
  expect(err()).toMatch(/✗ tdmq-backup run failed at COS: .*\n[\s\S]*→ /);
  expect(out()).toContain('"message":"run failed"');
});

test("keys come from the Tencent CLI's profile where the environment has none", async () => {
  const home = mkdtempSync(join(tmpdir(), 'tdmq-backup-test-'));
  try {
    mkdirSync(join(home, '.tccli'));
    const keys = { secretId: 'test-id', secretKey: 'test-key' };
    writeFileSync(join(home, '.tccli/default.credential'), JSON.stringify(keys));
    const { TENCENTCLOUD_SECRET_ID: _, TENCENTCLOUD_SECRET_KEY: __, ...env } = rule.env;
    const { terminal, out, err } = testTerminal({ ...env, HOME: home });
    publish(1);
    expect(await main(['run'], terminal), err()).toBe(0);
    expect(stored()).toEqual(['message 0']);
    expect(out()).not.toContain('test-key');
  } finally {
    rmSync(home, { recursive: true });
  }
});

test('wrong options are wrong usage', async () => {
  for (const args of [['--minutes', '0'], ['--memory', 'much'], ['--fast']]) {
    expect(await main(['run', ...args], testTerminal(rule.env).terminal)).toBe(2);
  }
});
