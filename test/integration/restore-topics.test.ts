// Several topics restored by one command, on real brokers: mapped, in order, killed and gone on with, and looked at before.
// Run `npm run build` first.
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll, describe, expect, it } from 'vitest';
import { bundleCli } from '../../src/packaging/bundle.ts';
import { packageRoot } from '../../src/packaging/package-root.ts';
import { createSubscription, createTopic } from './broker/topics.ts';
import type { PulsarVersion } from './broker/version.ts';
import { invoke } from './invoke.ts';
import { consume, type PublishedMessage, publish } from './python-clients.ts';
import { startCommand } from './restore-under-test.ts';
import { expectInOrder, expectRestored, oldId } from './restored-messages.ts';
import { useBroker } from './use-broker.ts';
import { ruleEnv, useCos } from './use-cos.ts';

const VERSIONS: readonly PulsarVersion[] = ['2.9.1', '4.0.7'];
const ROLES = { reader: 'backup-reader', none: 'restore-nothing' };
const PARTITIONS = { orders: 2, payments: 3 };

describe.each(VERSIONS)('a real broker %s', (version) => {
  const broker = useBroker({ version, auth: true });
  const cos = useCos();
  const published: Record<string, PublishedMessage[]> = {};
  let env: Record<string, string>;

  beforeAll(async () => {
    const root = packageRoot(import.meta.url);
    await bundleCli(root, join(root, 'dist/cli'));
    const token = broker().adminToken as string;
    await broker().admin('POST', `namespaces/public/default/permissions/${ROLES.reader}`, ['consume']);
    for (const [name, partitions] of Object.entries(PARTITIONS)) {
      const topic = await createTopic(broker(), name, partitions);
      await createSubscription(broker(), topic, 'backup');
      const own = { topic, token, keys: 20, size: 200 };
      published[name] = [
        ...(await publish(broker().serviceUrl, { ...own, count: 1_500, batch_messages: 20 })),
        ...(await publish(broker().serviceUrl, {
          ...own,
          count: 300,
          batching: false,
          first_sequence_id: 1_501,
        })),
      ];
      const rule = { COS_PREFIX: 'backup/house/', PULSAR_TOKEN: token, FILE_MAX_MESSAGES: '150' };
      const named = { ...rule, RULE_NAME: name, SCF_FUNCTIONNAME: name };
      env = ruleEnv(cos(), broker().serviceUrl, topic, named);
      const { summary, output } = await invoke({ env });
      expect(summary?.messages, output).toBe(1_800);
    }
  });

  const full = (name: string) => `persistent://public/default/${name}`;
  const map = (name: string, to: string) => ['--map', `public/default/${name}=${to}`];

  async function targets(suffix: string): Promise<string[]> {
    const args: string[] = [];
    for (const [name, partitions] of Object.entries(PARTITIONS)) {
      const target = await createTopic(broker(), `${name}-${suffix}`, partitions);
      await createSubscription(broker(), target, 'keeper'); // else the broker would drop what nobody waits for
      args.push(...map(name, target));
    }
    return args;
  }

  const restore = (...args: string[]) => startCommand(['archive', 'restore', ...args], env);
  const read = (name: string) =>
    consume(broker().serviceUrl, { topic: full(name), token: broker().adminToken as string });

  it('two topics go to theirs, in their partitions and their order, and are done then', async () => {
    const args = await targets('mapped');
    const { code, out, err } = await restore(...args, '--json').outcome;
    expect(code, err).toBe(0);
    expect(JSON.parse(out)).toMatchObject({ messages: 3_600, skipped: 0, isDone: false });
    for (const name of Object.keys(PARTITIONS)) {
      const restored = await read(`${name}-mapped`);
      expectRestored(published[name] as PublishedMessage[], restored);
      expectInOrder(restored);
      for (const message of restored)
        expect(message.topic).toBe(`${full(name)}-mapped-partition-${oldId(message).split(':')[2]}`);
    }
    const again = await restore(...args).outcome;
    expect([again.code, again.err.match(/this restore was done/g)?.length]).toEqual([3, 2]);
  });

  it('everything goes to one partition, each old partition in its order', async () => {
    const args = await targets('one');
    expect((await restore(...args, '--to-partition', '1').outcome).code).toBe(0);
    for (const name of Object.keys(PARTITIONS)) {
      const restored = await read(`${name}-one`);
      expectRestored(published[name] as PublishedMessage[], restored);
      expectInOrder(restored);
      expect(new Set(restored.map(({ topic }) => topic))).toEqual(new Set([`${full(name)}-one-partition-1`]));
    }
  });

  it('killed with SIGKILL again and again, both go on, and nothing is lost', async () => {
    const args = [...(await targets('killed')), '--rate', '1500', '--compression', 'none'];
    const countIn = async (name: string) => {
      const path = `persistent/public/default/${name}/partitioned-stats`;
      return (await broker().admin<{ msgInCounter: number }>('GET', path)).msgInCounter;
    };
    const count = async () => (await countIn('orders-killed')) + (await countIn('payments-killed'));
    let stored = 0;
    for (const more of [200, 1_200, 900]) {
      const run = restore(...args);
      let isOver = false;
      void run.outcome.then(() => {
        isOver = true;
      });
      while (!isOver && (await count()) < stored + more) await sleep(5);
      run.kill9();
      const { code, err } = await run.outcome;
      expect(code, err).toBeNull();
      stored = await count();
    }
    const { code, err } = await restore(...args).outcome;
    expect(code, err).toBe(0);
    for (const name of Object.keys(PARTITIONS)) {
      const restored = await read(`${name}-killed`);
      const ids = restored.map(oldId);
      const once = restored.filter((message, i) => ids.indexOf(oldId(message)) === i);
      expectRestored(published[name] as PublishedMessage[], once);
      expectInOrder(once);
      // What was on its way at each of three kills.
      expect(ids.length - new Set(ids).size).toBeLessThan(2_500);
    }
  });

  it('a dry run finds out what would be refused, and makes no topic', async () => {
    await broker().admin('PUT', 'namespaces/public/made', {});
    await broker().admin('POST', 'namespaces/public/made/autoTopicCreation', {
      allowAutoTopicCreation: true,
      topicType: 'partitioned',
      defaultNumPartitions: 3,
    });
    const topic = ['--topic', 'public/default/orders'];
    for (const dry of [['--dry-run'], []]) {
      const missing = await restore(...topic, ...map('orders', 'public/made/nowhere'), ...dry).outcome;
      expect(missing.code).toBe(1);
      expect(missing.err).toContain('Create the topic to restore into first');
    }
    expect(await broker().admin('GET', 'persistent/public/made')).toEqual([]);
    expect(await broker().admin('GET', 'persistent/public/made/partitioned')).toEqual([]);

    const target = await createTopic(broker(), 'orders-looked', 2);
    const dry = async (extra: Record<string, string> = {}) => {
      const args = ['archive', 'restore', ...topic, ...map('orders', target), '--dry-run', '--json'];
      const { code, out } = await startCommand(args, { ...env, ...extra }).outcome;
      return { code, report: JSON.parse(out) };
    };
    const empty = await dry();
    expect(empty.code).toBe(0);
    expect(empty.report).toMatchObject({
      messages: 1_800,
      topics: [{ check: { partitions: 2, isEmpty: true } }],
    });
    expect(empty.report.topics[0].check.maxEntryBytes).toBeGreaterThan(5_000_000);
    await createSubscription(broker(), target, 'keeper');
    await publish(broker().serviceUrl, { topic: target, count: 5, token: broker().adminToken as string });
    expect((await dry()).report.topics[0].check.isEmpty).toBe(false);
    const refused = await dry({ PULSAR_TOKEN: broker().token(ROLES.reader) });
    expect([refused.code, refused.report.error.hint]).toEqual([1, expect.stringContaining('to produce')]);
  });

  it('a dry run finds out that a schema is enforced', async () => {
    await broker().admin('PUT', 'namespaces/public/strict', {});
    await broker().admin('POST', 'namespaces/public/strict/schemaValidationEnforced', true);
    await broker().admin('PUT', 'persistent/public/strict/orders/partitions', 2);
    await broker().admin('POST', 'schemas/public/strict/orders/schema', {
      type: 'STRING',
      schema: '',
      properties: {},
    });
    const topic = ['--topic', 'public/default/orders'];
    const { code, err } = await restore(...topic, ...map('orders', 'public/strict/orders'), '--dry-run')
      .outcome;
    expect(code).toBe(1);
    expect(err).toContain('schema-validation-enforced');
  });
});
