// The promises on real brokers of several versions, old ones first: stored, acknowledged, killed, shared out, restored.
// All with tokens, as TDMQ has them. Run `npm run build` first.
import { beforeAll, describe, expect, it, vi } from 'vitest';
import { main } from '../../src/cli/main.ts';
import { testTerminal } from '../cli/terminal.ts';
import { expectAtLeastOnce, expectExactlyOnce, storedFiles } from './archive-under-test.ts';
import { backlogOf, createSubscription, createTopic } from './broker/topics.ts';
import type { PulsarVersion } from './broker/version.ts';
import type { Passing } from './broker-proxy.ts';
import { invoke } from './invoke.ts';
import { consumersOf, expectKilled, openRules, type PublishedTopic, type Rules } from './proxied-rule.ts';
import { consume, type ProducerSpec, type PublishedMessage, publish } from './python-clients.ts';
import { expectInOrder, expectRestored } from './restored-messages.ts';
import { useBroker } from './use-broker.ts';
import { prefixOf, ruleEnv, useCos } from './use-cos.ts';

const VERSIONS: readonly PulsarVersion[] = ['2.7.2', '2.9.1', '3.0.0', '4.0.7'];
const ROLE = 'backup-reader';

describe.each(VERSIONS)('a real broker %s', (version) => {
  const broker = useBroker({ version, auth: true });
  const cos = useCos();
  /** The product's token: of a role that may consume and no more. */
  const reader = () => ({ PULSAR_TOKEN: broker().token(ROLE) });
  let rules: Rules;
  let orders: PublishedTopic;

  beforeAll(async () => {
    await broker().admin('POST', `namespaces/public/default/permissions/${ROLE}`, ['consume']);
    rules = await openRules(broker);
    orders = await publishedTopic('orders', 2, { count: 400, size: 100, batch_messages: 7 });
    return () => rules.close();
  });

  async function publishedTopic(
    name: string,
    partitions: number,
    ...specs: Omit<ProducerSpec, 'topic'>[]
  ): Promise<PublishedTopic> {
    const topic = await createTopic(broker(), name, partitions);
    await createSubscription(broker(), topic, 'backup');
    const token = broker().adminToken as string;
    const published: PublishedMessage[] = [];
    for (const spec of specs) {
      const first_sequence_id = published.length + 1;
      published.push(...(await publish(broker().serviceUrl, { ...spec, topic, token, first_sequence_id })));
    }
    return { topic, published };
  }

  it.each([
    ['pulsar://', 'exclusive'],
    ['http://', 'failover'],
  ])('over %s, %s: every message is stored once and acknowledged', async (scheme, type) => {
    const serviceUrl = scheme === 'http://' ? broker().httpUrl : broker().serviceUrl;
    const { topic, published } = await publishedTopic(
      `main-${type}`,
      2,
      { content: 'varied', count: 200, size: 300, batch_messages: 30, compression: 'LZ4' },
      { content: 'varied', count: 40, batching: false },
      { count: 1, size: 6_000_000, chunking: true },
    );
    const env = { ...reader(), PULSAR_SUBSCRIPTION_TYPE: type, FILE_MAX_MESSAGES: '70' };
    const { summary, output } = await invoke({ env: ruleEnv(cos(), serviceUrl, topic, env) });
    expect(summary, output).toMatchObject({ messages: 241, stopReason: 'caught_up', unreadable: 0 });
    expectExactlyOnce(storedFiles(cos(), prefixOf(topic)), topic, published);
    expect(await backlogOf(broker(), topic, 'backup')).toBe(0);
    expect(output).not.toContain(env.PULSAR_TOKEN);
  });

  it.each(['shared', 'key_shared'])('%s: every message is stored and acknowledged', async (type) => {
    const { topic, published } = await publishedTopic(`type-${type}`, 2, { count: 300, keys: 50, size: 100 });
    const env = { ...reader(), PULSAR_SUBSCRIPTION_TYPE: type };
    const { summary, output } = await invoke({ env: ruleEnv(cos(), broker().serviceUrl, topic, env) });
    expect(summary, output).toMatchObject({ messages: 300, stopReason: 'caught_up' });
    expectAtLeastOnce(storedFiles(cos(), prefixOf(topic)), topic, published);
    expect(await backlogOf(broker(), topic, 'backup')).toBe(0);
  });

  /** Before 2.8 there are no receipts: the answer to the next request says that an acknowledgement has arrived. */
  const confirmed = version === '2.7.2' ? 'consumerStatsResponse' : 'ackResponse';
  it.each([
    ['exclusive', 'an object is stored and its acknowledgement on its way', 'ack', 1],
    ['failover', 'an object is stored and its acknowledgement on its way', 'ack', 3],
    ['exclusive', 'its acknowledgement is carried out and the answer on its way', confirmed, 3],
    ['failover', 'its acknowledgement is carried out and the answer on its way', confirmed, 3],
  ] as const)(
    '%s: killed when %s, the next run stores each message once',
    async (type, moment, name, nth) => {
      const rule = await rules.rule(`kill ${moment}`, type, orders);
      let kill = () => {};
      rule.proxy.watcher = (passing: Passing) => {
        if (passing.name !== name || passing.nth < nth) return undefined;
        kill();
        return 'drop';
      };
      const run = rule.start({ ...reader(), FILE_MAX_MESSAGES: '90' });
      kill = run.kill9;
      expectKilled(await run.outcome);
      await rule.gone();
      expect(rule.files().length).toBeGreaterThan(0);
      await rule.expectNextRunToFinish({ ...reader(), FILE_MAX_MESSAGES: '130' });
    },
  );

  it('failover: when one of two runs is killed, the other goes on, and the next stores each message once', async () => {
    const topic = await publishedTopic('six', 6, { count: 1_200, size: 100, batch_messages: 5 });
    const rule = await rules.rule('beside', 'failover', topic);
    let letGo = () => {};
    const going = new Promise<void>((resolve) => {
      letGo = resolve;
    });
    // Nobody gets on before both are there.
    rule.onCosCall((kind, key) => (kind === 'put' && key.includes('.jsonl') ? going : undefined));
    const env = { ...reader(), FILE_MAX_MESSAGES: '40' };
    const proxies = [rule.proxy, await rules.proxy()];
    const runs = proxies.map((proxy) => rule.startBeside(proxy, env));
    const count = () => consumersOf(broker(), rule.topic, rule.subscription);
    await vi.waitUntil(async () => (await count()) === 12, { interval: 50, timeout: 60_000 });
    let killed: number | undefined;
    for (const [index, proxy] of proxies.entries()) {
      proxy.watcher = ({ name, nth }) => {
        if (name !== 'ack' || nth < 2 || (killed ?? index) !== index) return undefined;
        killed = index;
        runs[index]?.kill9();
        return 'drop';
      };
    }
    letGo();
    const outcomes = await Promise.all(runs.map(({ outcome }) => outcome));
    for (const [index, outcome] of outcomes.entries()) {
      if (index === killed) expectKilled(outcome);
      else expect(outcome.summary, outcome.output).toMatchObject({ stopReason: 'caught_up' });
    }
    expect(killed).toBeDefined();
    await rule.gone();
    await rule.expectNextRunToFinish({ ...reader(), FILE_MAX_MESSAGES: '70' });
  });

  it('the topic is unloaded in the middle of a file, and the run goes on to its end', async () => {
    const rule = await rules.rule('unloaded', 'exclusive', orders);
    rule.proxy.watcher = async ({ name, nth }) => {
      if (name === 'message' && nth === 30)
        await broker().admin('PUT', `${rule.topic.replace('://', '/')}/unload`);
      return undefined;
    };
    const { summary, output } = await rule.start({ ...reader(), FILE_MAX_MESSAGES: '60' }).outcome;
    expect(summary, output).toMatchObject({ stopReason: 'caught_up', messages: 400 });
    expect(rule.proxy.count('subscribe')).toBeGreaterThan(2);
    await rule.expectDrained();
  });

  it('what was restored is what was published', async () => {
    const { topic, published } = await publishedTopic(
      'round',
      2,
      { content: 'varied', count: 200, size: 300, batch_messages: 30 },
      { count: 1, size: 6_000_000, chunking: true },
    );
    const env = ruleEnv(cos(), broker().serviceUrl, topic, reader());
    expect((await invoke({ env })).summary?.messages).toBe(201);
    const target = await createTopic(broker(), 'restored', 2);
    await createSubscription(broker(), target, 'keeper'); // else the broker would drop what nobody waits for
    const token = broker().adminToken as string;
    const { terminal, out, err } = testTerminal({ ...env, PULSAR_TOKEN: token });
    expect(await main(['archive', 'restore', '--to', target], terminal), err()).toBe(0);
    expect(out()).toContain('Published 201 messages');
    const restored = await consume(broker().serviceUrl, { topic: target, token, count: 201 });
    expectRestored(published, restored);
    expectInOrder(restored);
  });

  const check = async (env: Record<string, string>) => {
    const { terminal, out } = testTerminal(env);
    return { code: await main(['check'], terminal), told: out() };
  };

  describe.each(['pulsar://', 'http://'])('over %s', (scheme) => {
    const name = (what: string) => `${what}-${scheme.replace('://', '')}`;
    /** A namespace whose topics are created by whoever asks for them. */
    const namespace = name('public/auto');
    beforeAll(async () => {
      await broker().admin('PUT', `namespaces/${namespace}`, {});
      await broker().admin('POST', `namespaces/${namespace}/permissions/${ROLE}`, ['consume']);
      await broker().admin('POST', `namespaces/${namespace}/autoTopicCreation`, {
        allowAutoTopicCreation: true,
        topicType: 'partitioned',
        defaultNumPartitions: 3,
      });
    });
    const envOf = (topic: string) =>
      ruleEnv(cos(), scheme === 'http://' ? broker().httpUrl : broker().serviceUrl, topic, reader());
    const run = (topic: string) => invoke({ env: envOf(topic) });
    const topics = async () => [
      ...(await broker().admin<string[]>('GET', `persistent/${namespace}`)),
      ...(await broker().admin<string[]>('GET', `persistent/${namespace}/partitioned`)),
    ];

    it('a topic that is not there is reported, and is not created', async () => {
      const topic = `persistent://${namespace}/nowhere`;
      const before = await topics();
      const { thrown, output } = await run(topic);
      expect(thrown, output).toMatchObject({ code: 'source', hint: expect.stringContaining('PULSAR_TOPIC') });
      expect(await check(envOf(topic))).toMatchObject({
        code: 1,
        told: expect.stringContaining('PULSAR_TOPIC'),
      });
      expect(await topics()).toEqual(before);
    });

    it('partitions that the broker has deleted are empty, and what is published later is stored', async () => {
      const topic = `persistent://${namespace}/${name('idle')}`;
      const path = topic.replace('://', '/');
      await broker().admin('PUT', `${path}/partitions`, 3);
      for (const index of [0, 2]) await broker().admin('DELETE', `${path}-partition-${index}?force=true`);
      expect(await check(envOf(topic))).toMatchObject({ code: 0 });
      const { summary, output } = await run(topic);
      expect(summary, output).toMatchObject({ messages: 0, partitions: 3, stopReason: 'caught_up' });
      const token = broker().adminToken as string;
      const published = await publish(broker().serviceUrl, { topic, count: 30, size: 50, token, keys: 9 });
      expect((await run(topic)).summary).toMatchObject({ messages: 30 });
      expectExactlyOnce(storedFiles(cos(), prefixOf(topic)), topic, published);
    });

    it('a deleted partition that nobody may create is empty too, and is reported', async () => {
      const topic = await createTopic(broker(), name('forbidden'), 2);
      await createSubscription(broker(), topic, 'keeper');
      await broker().admin('DELETE', `${topic.replace('://', '/')}-partition-0?force=true`);
      const { summary, logs, output } = await run(topic);
      expect(summary, output).toMatchObject({ messages: 0, stopReason: 'caught_up' });
      const told = logs.filter(({ message }) => message === 'partition missing').map((line) => line['topic']);
      // Newer brokers make a partition of a topic that is there, whatever the namespace has.
      expect(told).toEqual(version === '4.0.7' ? [] : [`${topic}-partition-0`]);
    });

    it('a topic that has lost all partitions is empty; old brokers cannot tell it over pulsar://', async () => {
      const topic = `persistent://${namespace}/${name('bare')}`;
      const path = topic.replace('://', '/');
      await broker().admin('PUT', `${path}/partitions`, 2);
      for (const index of [0, 1]) await broker().admin('DELETE', `${path}-partition-${index}?force=true`);
      const { summary, thrown, output } = await run(topic);
      if (version === '4.0.7' || scheme === 'http://') {
        expect(summary, output).toMatchObject({ messages: 0, partitions: 2, stopReason: 'caught_up' });
      } else expect(thrown, output).toMatchObject({ hint: expect.stringContaining('http://') });
    });
  });

  const ledgersOf = async (path: string) =>
    (await broker().admin<{ ledgers: { ledgerId: number }[] }>('GET', `${path}/internalStats`)).ledgers;

  // 2.7 refuses to tell the last message id then, and most versions go on counting the entries.
  it('the last message of the topic is in a deleted ledger, and a new rule begins all the same, soon', async () => {
    const topic = await createTopic(broker(), 'trimmed');
    const path = topic.replace('://', '/');
    const env = ruleEnv(cos(), broker().serviceUrl, topic, reader());
    const token = broker().adminToken as string;
    await createSubscription(broker(), topic, 'keeper');
    const [message] = await publish(broker().serviceUrl, { topic, token, count: 10, batching: false });
    // The ledger is closed, the next one is empty, and nobody waits for what is in the first.
    await broker().admin('PUT', `${path}/unload`);
    const ledger = Number(message?.id.split(':')[0]);
    await vi.waitUntil(async () => (await ledgersOf(path)).length === 2, { timeout: 30_000 });
    await broker().admin('DELETE', `${path}/subscription/keeper?force=true`);
    const isDeleted = async () => !(await ledgersOf(path)).some(({ ledgerId }) => ledgerId === ledger);
    await vi.waitUntil(isDeleted, { timeout: 30_000 });
    expect(await check(env)).toMatchObject({ code: 0 });
    for (let runs = 0; runs < 2; runs++) {
      const quiet = await invoke({ env });
      expect(quiet.summary, quiet.output).toMatchObject({ messages: 0, stopReason: 'caught_up' });
      expect(quiet.summary?.durationMs, quiet.output).toBeLessThan(3_000);
      expect(quiet.logs.filter(({ level }) => level === 'warn')).toEqual([]);
    }
    const published = await publish(broker().serviceUrl, { topic, count: 20, size: 50, token, seed: 2 });
    const second = await invoke({ env });
    expect(second.summary, second.output).toMatchObject({ messages: 20, stopReason: 'caught_up' });
    expectExactlyOnce(storedFiles(cos(), prefixOf(topic)), topic, published);
    expect(await backlogOf(broker(), topic, 'backup')).toBe(0);
  });
});
