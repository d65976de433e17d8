// `tdmq-backup smoke` against a real broker with authorization: by a role that may produce, and by one that may only
// consume; and Ctrl-C in a process of its own.
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { afterEach, beforeAll, expect, it } from 'vitest';
import { main } from '../../src/cli/main.ts';
import { bundleCli } from '../../src/packaging/bundle.ts';
import { packageRoot } from '../../src/packaging/package-root.ts';
import { type SmokeRule, startSmokeRule } from '../cli/smoke-rule.ts';
import { testTerminal } from '../cli/terminal.ts';
import { backlogOf, createTopic } from './broker/topics.ts';
import { publish } from './python-clients.ts';
import { useBroker } from './use-broker.ts';

const broker = useBroker({ auth: true });
const root = packageRoot(import.meta.url);

let rule: SmokeRule;
beforeAll(async () => {
  await broker().admin('POST', 'namespaces/public/default/permissions/backup-reader', ['consume']);
  await broker().admin('POST', 'namespaces/public/default/permissions/smoke', ['produce', 'consume']);
  await bundleCli(root, join(root, 'dist/cli'));
});
afterEach(() => rule.close());

const settingsOf = (topic: string) => ({
  PULSAR_SERVICE_URL: broker().serviceUrl,
  PULSAR_TOPIC: topic,
  PULSAR_TOKEN: broker().token('backup-reader'),
});

async function smoke(env: Readonly<Record<string, string>>) {
  const { terminal, out, err } = testTerminal(env, undefined, { clock: rule.cloud.clock });
  const code = await main(['smoke', '--yes', '--json'], terminal);
  return { code, told: JSON.parse(out()), out: out() + err() };
}

it.each([0, 3])(
  'proves a rule on a topic of %i partitions, with the key of a role that may produce',
  async (partitions) => {
    const topic = await createTopic(broker(), `smoke-${partitions}`, partitions);
    rule = await startSmokeRule(settingsOf(topic));
    const ran = await smoke({ ...rule.env, PULSAR_TOKEN: broker().token('smoke') });
    expect(ran.told.findings.filter(({ status }: { status: string }) => status !== 'ok')).toEqual([]);
    expect(ran).toMatchObject({ code: 0, told: { ok: true, left: { messages: 3, unconfirmed: 0 } } });
    expect(await backlogOf(broker(), topic, 'backup')).toBe(0);
  },
);

it('proves what others publish where the role may only consume', async () => {
  const topic = await createTopic(broker(), 'consume-only', 2);
  rule = await startSmokeRule(settingsOf(topic));
  const nothing = await smoke(rule.env);
  expect(nothing.told.findings.at(-1)).toMatchObject({ item: 'objects', status: 'fail' });
  const token = broker().adminToken as string;
  await publish(broker().serviceUrl, { topic, count: 20, batching: true, token });
  const ran = await smoke(rule.env);
  expect(ran.told.findings.find(({ item }: { item: string }) => item === 'publish')).toMatchObject({
    status: 'warn',
    hint: expect.stringContaining('permission to produce'),
  });
  expect(ran).toMatchObject({ code: 0, told: { left: { messages: 0, unconfirmed: 0 } } });
});

it('ends within a second at Ctrl-C while the function runs, and says what is left', async () => {
  const topic = await createTopic(broker(), 'interrupted', 2);
  rule = await startSmokeRule({ ...settingsOf(topic), PULSAR_TOKEN: broker().token('smoke') });
  const child = spawn(process.execPath, [join(root, 'dist/cli/tdmq-backup.js'), 'smoke', '--yes'], {
    env: { ...process.env, ...rule.env },
  });
  let interruptedMs = 0;
  let runs = 0;
  rule.cloud.api.state.run = (_fn, _event, requestId) => {
    if (++runs === 1) return rule.run(requestId);
    interruptedMs = performance.now();
    child.kill('SIGINT');
    return new Promise(() => undefined);
  };
  let said = '';
  child.stderr.on('data', (chunk: Buffer) => {
    said += chunk.toString();
  });
  const code = await new Promise((resolve) => child.on('close', resolve));
  expect(performance.now() - interruptedMs).toBeLessThan(1_000);
  expect(code).toBe(130);
  expect(said).toMatch(/messages {3}3 in persistent:/);
});
