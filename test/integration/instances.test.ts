// Several instances of a rule on a real broker, 16 partitions: how they share, what they read for nothing, and what
// becomes of the share of one that is killed. The figures are the broker's own. What is fast is for the benchmarks to say.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { expectExactlyOnce, storedFiles } from './archive-under-test.ts';
import { backlogOf, createSubscription, createTopic } from './broker/topics.ts';
import { type Fleet, openFleet } from './fleet.ts';
import type { Summary } from './invoke.ts';
import { type PublishedMessage, publish } from './python-clients.ts';
import { useBroker } from './use-broker.ts';
import { ruleEnv, useCos } from './use-cos.ts';

const PARTITIONS = 16;
const COUNT = 16_000;
/** Instances begin within this time. */
const SPREAD_MS = 1_000;

const broker = useBroker();
const cos = useCos();
let fleet: Fleet;
let topic: string;
let published: PublishedMessage[];

beforeAll(async () => {
  fleet = await openFleet();
  topic = await createTopic(broker(), 'orders', PARTITIONS);
  published = await publish(broker().serviceUrl, {
    topic,
    count: COUNT,
    size: 200,
    keys: 0,
    batch_messages: 20,
  });
});
afterAll(() => fleet?.close());

interface Rule {
  readonly subscription: string;
  readonly env: Readonly<Record<string, string>>;
  readonly prefix: string;
}

async function newRule(name: string, more: Readonly<Record<string, string>> = {}): Promise<Rule> {
  await createSubscription(broker(), topic, name);
  const prefix = `backup/${name}/`;
  const env = ruleEnv(cos(), broker().serviceUrl, topic, {
    PULSAR_SUBSCRIPTION: name,
    PULSAR_SUBSCRIPTION_TYPE: 'failover',
    COS_PREFIX: prefix,
    FILE_MAX_MESSAGES: '300',
    ...more,
  });
  return { subscription: name, env, prefix };
}

interface Stats {
  readonly partitions: Record<string, { subscriptions: Record<string, { msgOutCounter: number }> }>;
}

/** How many messages the broker has handed out on a subscription, again and again ones included. */
async function handedOut(subscription: string): Promise<number> {
  const path = `${topic.replace('://', '/')}/partitioned-stats?perPartition=true`;
  const { partitions } = await broker().admin<Stats>('GET', path);
  return Object.values(partitions).reduce(
    (sum, { subscriptions }) => sum + (subscriptions[subscription]?.msgOutCounter ?? 0),
    0,
  );
}

/** One tick of so many instances; they begin one after the other, within a second. */
async function tickOf(envs: readonly Readonly<Record<string, string>>[]) {
  const instances = await Promise.all(envs.map((env) => fleet.start(env)));
  const gapMs = SPREAD_MS / Math.max(1, instances.length - 1);
  const summaries = await Promise.all(instances.map((one, i) => one.tick(i * gapMs)));
  const output = instances.flatMap((one) => one.lines()).join('\n');
  for (const summary of summaries) expect(summary, output).toBeDefined();
  return { summaries: summaries as Summary[], output };
}

const sum = (summaries: readonly Summary[], of: 'messages' | 'objects') =>
  summaries.reduce((total, one) => total + one[of], 0);

async function expectDrained({ subscription, prefix }: Rule, messages = published): Promise<void> {
  expectExactlyOnce(storedFiles(cos(), prefix), topic, messages);
  expect(await backlogOf(broker(), topic, subscription)).toBe(0);
}

describe('instances that begin within a second of each other', () => {
  it.each([1, 2, 4])(
    '%i share the work evenly, and read at most a tenth more than they store',
    async (count) => {
      const rule = await newRule(`share-${count}`);
      const { summaries, output } = await tickOf(Array.from({ length: count }, () => rule.env));
      expect(sum(summaries, 'messages'), output).toBe(COUNT);
      for (const { messages } of summaries) {
        expect(messages, output).toBeGreaterThan((0.7 * COUNT) / count);
        expect(messages, output).toBeLessThan((1.3 * COUNT) / count);
      }
      expect(await handedOut(rule.subscription)).toBeLessThanOrEqual(1.1 * COUNT);
      await expectDrained(rule);
    },
  );

  it('and are those of two rules with one subscription and prefix, store each message once', async () => {
    const rule = await newRule('two-rules');
    const second = { ...rule.env, RULE_NAME: 'backup-2' };
    const { summaries } = await tickOf([rule.env, rule.env, second, second]);
    expect(sum(summaries, 'messages')).toBe(COUNT);
    expect(await handedOut(rule.subscription)).toBeLessThanOrEqual(1.1 * COUNT);
    await expectDrained(rule);
    // In the next tick the partitions are shared out another way: what the others stored is no move.
    const { output } = await tickOf([second, rule.env, rule.env]);
    expect(output).not.toContain('subscription moved');
    await expectDrained(rule);
  });
});

it('when one of four is killed in the middle of its share, the others store it in the same tick', async () => {
  const rule = await newRule('killed', { FILE_MAX_MESSAGES: '50' });
  let onStored = () => {};
  const hasStored = new Promise<void>((resolve) => {
    onStored = resolve;
  });
  const killed = await fleet.start(rule.env, (line) => {
    if (line.includes('"object stored"')) onStored();
  });
  const others = await Promise.all([1, 2, 3].map(() => fleet.start(rule.env)));
  const dying = killed.tick();
  const running = others.map((one) => one.tick());
  await hasStored;
  killed.kill9();
  expect(await dying).toBeUndefined();
  const summaries = await Promise.all(running);
  const output = others.flatMap((one) => one.lines()).join('\n');
  for (const summary of summaries) expect(summary, output).toMatchObject({ stopReason: 'caught_up' });
  await expectDrained(rule);
});
