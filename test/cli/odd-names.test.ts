// Names that brokers take although they are not words: backed up, read back from the bucket and from a local copy, and
// restored, over the stand-ins. The stand-in of COS checks the signature of every key.
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { main } from '../../src/cli/main.ts';
import { type LoopbackStage, startLoopbackStage } from '../stage/loopback-stage.ts';
import { testTerminal } from './terminal.ts';

let rule: LoopbackStage;
let copy: string;
beforeEach(async () => {
  rule = await startLoopbackStage();
  copy = mkdtempSync(join(tmpdir(), 'tdmq-backup-odd-'));
});
afterEach(async () => {
  await rule.close();
  rmSync(copy, { recursive: true, force: true });
});

async function call(env: Record<string, string>, ...args: string[]): Promise<string> {
  const { terminal, out, err } = testTerminal({ ...rule.env, ...env });
  expect(await main(args, terminal), err()).toBe(0);
  return out();
}

const NAMES = [
  'with a space',
  'a+b c',
  '100%',
  'a%20b',
  'what?',
  'a#b',
  'a&b=c',
  'a:b',
  '订单 🦜',
  "it's (a)*!~",
  '…',
];

test.each(NAMES)('a topic and a subscription named %j', async (name) => {
  const topic = `public/default/${name}`;
  rule.broker.createTopic(topic, 2);
  const payloads = ['one', 'two', 'three'];
  rule.broker.publish(
    topic,
    payloads.map((payload) => ({ payload })),
  );
  for (const [url, subscription, prefix] of [
    [rule.broker.serviceUrl, `${name}/binary`, 'by binary/'],
    [rule.broker.httpUrl, `http ${name}`, 'tdmq/'],
  ] as const) {
    const env = { PULSAR_SERVICE_URL: url, PULSAR_TOPIC: topic, PULSAR_SUBSCRIPTION: subscription };
    const found = JSON.parse(await call(env, 'check', '--json', '--no-cloud'));
    expect(found).toMatchObject({ ok: true });
    await call({ ...env, COS_PREFIX: prefix }, 'run');
    expect(rule.broker.subscriptionBacklog(topic, subscription)).toBe(0);
  }
  const keys = rule.cos.objects().map(({ key }) => key);
  expect(keys.filter((key) => key.startsWith(`tdmq/public/default/${name}/date=`))).toHaveLength(2);

  const values = (lines: string) =>
    lines
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line).value)
      .sort();
  const env = { PULSAR_TOPIC: topic };
  expect(values(await call(env, 'archive', 'cat'))).toEqual([...payloads].sort());
  await call(env, 'archive', 'verify');
  cpSync(join(rule.folder, 'tdmq'), copy, { recursive: true });
  expect(values(await call(env, 'archive', 'cat', '--folder', copy))).toEqual([...payloads].sort());
  await call(env, 'archive', 'verify', '--folder', copy);

  rule.broker.createTopic(`${topic} again`, 2);
  await call(env, 'archive', 'restore', '--to', `${topic} again`, '--folder', copy);
  const again = { PULSAR_TOPIC: `${topic} again`, COS_PREFIX: 'again/' };
  await call(again, 'run');
  expect(values(await call(again, 'archive', 'cat'))).toEqual([...payloads].sort());
});
