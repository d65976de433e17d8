// The packaged function on a real broker, broken at each step: killed with SIGKILL, cut off, run several times at once.
// One undisturbed run later every message is in exactly one object. Run `npm run build` first.
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { expectAtLeastOnce } from './archive-under-test.ts';
import { type Broker, startBroker } from './broker/broker.ts';
import { createSubscription, createTopic } from './broker/topics.ts';
import { type BrokerProxy, type Outcome, type Passing, startBrokerProxy } from './broker-proxy.ts';
import {
  consumersOf,
  expectKilled,
  openRules,
  type ProxiedRule,
  type PublishedTopic,
  type Rules,
} from './proxied-rule.ts';
import { type ProducerSpec, publish } from './python-clients.ts';

/** Keeps its data over a restart, and has ledgers of 40 entries, so that files begin in one and end in another. */
let started: Broker | undefined;
const broker = () => started as Broker;
/** The address of the broker's second listener. */
let outside: BrokerProxy;
let rules: Rules;
let orders: PublishedTopic;
let large: PublishedTopic;

async function publishedTopic(name: string, partitions: number, spec: Omit<ProducerSpec, 'topic'>) {
  const topic = await createTopic(broker(), name, partitions);
  // Holds what all others have acknowledged.
  await createSubscription(broker(), topic, 'keeper');
  return { topic, published: await publish(broker().serviceUrl, { ...spec, topic }) };
}

beforeAll(async () => {
  outside = await startBrokerProxy(() => broker().serviceUrl);
  started = await startBroker({
    metadata: 'rocksdb',
    listeners: { outside: outside.serviceUrl },
    extraConf: { managedLedgerMaxEntriesPerLedger: '40', managedLedgerMinLedgerRolloverTimeMinutes: '0' },
  });
  rules = await openRules(broker);
  orders = await publishedTopic('orders', 2, { count: 400, size: 100, batch_messages: 7 });
  large = await publishedTopic('large', 0, { count: 190, size: 100_000 });
});
afterEach(async ({ task }) => {
  if (task.result?.state === 'fail') console.error(`the broker's log ends:\n${await started?.logTail()}`);
});
afterAll(async () => {
  await rules?.close();
  await outside?.close();
  await started?.stop();
});

/** Puts the killer in its place; `kill` ends the function's process this moment. */
type KillPoint = (rule: ProxiedRule, kill: () => void) => void;

/** A command on its way to the broker, or from it, that does not arrive. */
const at =
  (name: Passing['name'], nth = 1): KillPoint =>
  ({ proxy }, kill) => {
    proxy.watcher = (passing) => {
      if (passing.name !== name || passing.nth < nth) return undefined;
      kill();
      return 'drop';
    };
  };

/** A call of COS arrives and takes no effect. */
const atCall =
  (kind: string): KillPoint =>
  (rule, kill) =>
    rule.onCosCall((of, key) => {
      if (of !== kind || !key.includes('.jsonl')) return undefined;
      kill();
      return new Promise(() => undefined);
    });

const afterCommitOf =
  (kind: 'put' | 'complete'): KillPoint =>
  (rule, kill) =>
    void rule.loseAnswerOf(kind, '\\.jsonl').then(kill);

const KILL_POINTS: [moment: string, topic: () => PublishedTopic, KillPoint][] = [
  ['before it has a consumer', () => orders, at('subscribe')],
  ['with the first messages on their way', () => orders, at('message')],
  ['before an object is stored', () => orders, atCall('put')],
  ['after an object is stored, before it knows', () => orders, afterCommitOf('put')],
  ['in the middle of a part', () => large, atCall('part')],
  ['after a multipart object is complete, before it knows', () => large, afterCommitOf('complete')],
  ['when an object is durable and the ack is on its way', () => orders, at('ack')],
  ['when the ack is applied and its receipt on its way', () => orders, at('ackResponse')],
  ['between two acks of a partition', () => orders, at('ack', 3)],
  ['while it closes its consumers', () => orders, at('closeConsumer')],
];

const TYPES = ['exclusive', 'failover'];

/** Resolves with the first command of that kind to pass, which waits until it is let go. */
function hold(
  proxy: BrokerProxy,
  name: Passing['name'],
  nth = 1,
): { held: Promise<void>; letGo: () => void } {
  let letGo = () => {};
  const going = new Promise<undefined>((resolve) => {
    letGo = () => resolve(undefined);
  });
  const held = new Promise<void>((resolve) => {
    proxy.watcher = (passing) => {
      if (passing.name !== name || passing.nth < nth) return undefined;
      resolve();
      return going;
    };
  });
  return { held, letGo };
}

/** Lets no file be created before `letGo`. A process whose calls of COS wait still answers its broker's PINGs. */
function holdPuts(rule: ProxiedRule): { held: Promise<void>; letGo: () => void } {
  let letGo = () => {};
  const going = new Promise<void>((resolve) => {
    letGo = resolve;
  });
  const held = new Promise<void>((resolve) => {
    rule.onCosCall((kind, key) => {
      if (kind !== 'put' || !key.includes('.jsonl')) return undefined;
      resolve();
      return going;
    });
  });
  return { held, letGo };
}

describe.concurrent('killed on a real broker, the next run stores each message once', () => {
  it.for(TYPES.flatMap((type) => KILL_POINTS.map((point) => [type, ...point] as const)))(
    '%s: %s',
    async ([type, moment, topic, point]) => {
      const rule = await rules.rule(`kill ${moment}`, type, topic());
      let kill = () => {};
      point(rule, () => kill());
      const run = rule.start({ FILE_MAX_MESSAGES: '90' });
      kill = run.kill9;
      expectKilled(await run.outcome);
      rule.onCosCall(() => undefined);
      await rule.gone();
      const limit = KILL_POINTS.findIndex(([other]) => other === moment) % 2 === 0 ? '60' : '130';
      await rule.expectNextRunToFinish({ FILE_MAX_MESSAGES: limit });
    },
  );

  it.for(KILL_POINTS)('with a linger, whatever waits: %s', async ([moment, topic, point]) => {
    const rule = await rules.rule(`linger ${moment}`, 'exclusive', topic());
    let kill = () => {};
    point(rule, () => kill());
    const linger = { FILE_LINGER_MINUTES: '60' };
    const run = rule.start({ ...linger, FILE_MAX_MESSAGES: '90' });
    kill = run.kill9;
    expectKilled(await run.outcome);
    rule.onCosCall(() => undefined);
    await rule.gone();
    const next = await rule.startBeside(broker(), { ...linger, FILE_MAX_MESSAGES: '130' }).outcome;
    expect(next.summary, next.output).toMatchObject({ stopReason: 'caught_up', backlog: { entries: 0 } });
    expect(next.output).not.toContain('subscription moved');
    // Objects of several parts are stored as they are.
    if (topic() === orders) expect(next.summary?.lingering?.messages).toBeGreaterThan(0);
    await rule.gone();
    await rule.expectNextRunToFinish({ FILE_MAX_MESSAGES: '60' });
  });

  it.for([
    // Before it refuses the second consumer of an Exclusive subscription, a broker asks the first whether it lives.
    ['exclusive', 'answers', 'busy', 2],
    ['exclusive', 'silent', 'caught_up', 0],
    ['failover', 'answers', undefined, 2],
  ] as const)(
    '%s: when its connection lingers (%s), a run beside it is a success, and the next one stores each message once',
    async ([type, lingers, stopReason, consumers]) => {
      const rule = await rules.rule(`lingers ${lingers}`, type, orders);
      rule.proxy.lingers = lingers;
      const { held } = hold(rule.proxy, 'ack');
      const killed = rule.start({ FILE_MAX_MESSAGES: '90' });
      await held;
      killed.kill9();
      expectKilled(await killed.outcome);
      const { summary, output } = await rule.startBeside(broker(), { FILE_MAX_MESSAGES: '60' }).outcome;
      expect(summary, output).toBeDefined();
      if (stopReason !== undefined) expect(summary?.stopReason).toBe(stopReason);
      expect(await consumersOf(broker(), rule.topic, rule.subscription)).toBe(consumers);
      rule.proxy.cutAll();
      await rule.gone();
      await rule.expectNextRunToFinish({ FILE_MAX_MESSAGES: '130' });
    },
  );
});

/** Takes place once, at the nth message; that message and all behind it wait until it is done. */
const atMessage =
  (nth: number, event: (rule: ProxiedRule) => Promise<unknown>) =>
  (rule: ProxiedRule): void => {
    rule.proxy.watcher = async (passing) => {
      if (passing.name === 'message' && passing.nth === nth) await event(rule);
      return undefined;
    };
  };

const once =
  (name: Passing['name'], nth: number, outcome: Outcome) =>
  ({ proxy }: ProxiedRule): void => {
    proxy.watcher = (passing) => (passing.name === name && passing.nth === nth ? outcome : undefined);
  };

const pathOf = ({ topic }: ProxiedRule) => topic.replace('://', '/');

const FAULTS: [fault: string, strike: (rule: ProxiedRule) => void][] = [
  ['the connection ends before an ack', once('ack', 2, 'cut')],
  ['the connection ends after an ack', once('ackResponse', 2, 'cut')],
  ['a receipt is lost', once('ackResponse', 2, 'drop')],
  ['the connection ends between messages', once('message', 30, 'cut')],
  ['messages come late', atMessage(9, () => sleep(4_000))],
];

describe.concurrent('on a real broker a run goes on to its end', () => {
  it.for(TYPES.flatMap((type) => FAULTS.map((fault) => [type, ...fault] as const)))(
    '%s: when %s',
    async ([type, fault, strike]) => {
      const rule = await rules.rule(`when ${fault}`, type, orders);
      strike(rule);
      const { summary, output } = await rule.start({ FILE_MAX_MESSAGES: '60' }).outcome;
      expect(summary, output).toMatchObject({ stopReason: 'caught_up', messages: 400 });
      await rule.expectDrained();
    },
  );

  it.for(TYPES)('%s: when the topic is unloaded in the middle of a file', async (type) => {
    const topic = await publishedTopic(`unloaded-${type}`, 2, { count: 400, size: 100, batch_messages: 7 });
    const rule = await rules.rule('unloaded', type, topic);
    atMessage(30, () => broker().admin('PUT', `${pathOf(rule)}/unload`))(rule);
    const { summary, output } = await rule.start({ FILE_MAX_MESSAGES: '60' }).outcome;
    expect(summary, output).toMatchObject({ stopReason: 'caught_up', messages: 400 });
    expect(rule.proxy.count('subscribe')).toBeGreaterThan(2);
    await rule.expectDrained();
  });

  it.for(TYPES)('%s: or fails, when its subscription is deleted, and stores nothing twice', async (type) => {
    const rule = await rules.rule('deleted', type, orders);
    const path = `${pathOf(rule)}/subscription/${rule.subscription}?force=true`;
    atMessage(30, () => broker().admin('DELETE', path))(rule);
    const { summary, thrown, output } = await rule.start({ FILE_MAX_MESSAGES: '60' }).outcome;
    expect(summary ?? thrown, output).toBeDefined();
    await rule.gone();
    await rule.expectNextRunToFinish({ FILE_MAX_MESSAGES: '90' });
  });
});

describe.concurrent('runs beside each other on a real broker', () => {
  it('exclusive: one drains, the other is busy, and both are successes', async () => {
    const rule = await rules.rule('two', 'exclusive', orders);
    const { held, letGo } = holdPuts(rule);
    const first = rule.start({ FILE_MAX_MESSAGES: '90' });
    await held;
    const second = await rule.startBeside(broker()).outcome;
    expect(second.summary, second.output).toMatchObject({ stopReason: 'busy', messages: 0, objects: 0 });
    letGo();
    const { summary, output } = await first.outcome;
    expect(summary, output).toMatchObject({ stopReason: 'caught_up', messages: 400 });
    await rule.expectDrained();
  });

  it('failover: three drain six partitions together, each message once', async () => {
    const topic = await publishedTopic('six', 6, { count: 1_800, size: 100, batch_messages: 5 });
    const rule = await rules.rule('three', 'failover', topic);
    // Nobody gets on before all of them are there.
    const { letGo } = holdPuts(rule);
    const runs = [1, 2, 3].map(() => rule.start({ FILE_MAX_MESSAGES: '40' }));
    const count = () => consumersOf(broker(), rule.topic, rule.subscription);
    await vi.waitUntil(async () => (await count()) === 18, { interval: 50, timeout: 60_000 });
    letGo();
    const outcomes = await Promise.all(runs.map(({ outcome }) => outcome));
    for (const { summary, output } of outcomes) expect(summary, output).toBeDefined();
    const working = outcomes.filter(({ summary }) => (summary?.messages ?? 0) > 0);
    expect(working.length).toBeGreaterThan(1);
    await rule.gone();
    await rule.expectNextRunToFinish({ FILE_MAX_MESSAGES: '70' });
  });

  it.for(TYPES)('%s: one that is begun while another is killed in the middle of a file', async (type) => {
    const rule = await rules.rule('begun', type, orders);
    const { held } = holdPuts(rule);
    const killed = rule.start({ FILE_MAX_MESSAGES: '90' });
    await held;
    const other = await rules.proxy();
    const begun = rule.startBeside(other, { FILE_MAX_MESSAGES: '60' });
    const isThere = () => other.count('success') + other.count('error') > 0;
    await vi.waitUntil(isThere, { interval: 5, timeout: 60_000 });
    killed.kill9();
    expectKilled(await killed.outcome);
    rule.onCosCall(() => undefined);
    const { summary, output } = await begun.outcome;
    expect(summary, output).toMatchObject({ stopReason: type === 'exclusive' ? 'busy' : 'caught_up' });
    await rule.gone();
    await rule.expectNextRunToFinish({ FILE_MAX_MESSAGES: '130' });
  });

  it.for(['shared', 'key_shared'])(
    '%s: when one of two is killed, at most one file for each partition is stored twice, and nothing is lost',
    async (type) => {
      const rule = await rules.rule('killed beside', type, orders);
      const env = { FILE_MAX_MESSAGES: '40' };
      const other = await rules.proxy();
      // Both have a first message before either gets more, so that the broker shares out among them.
      const gates = [hold(rule.proxy, 'message'), hold(other, 'message')];
      const killed = rule.start(env);
      const stays = rule.startBeside(other, env);
      await Promise.all(gates.map(({ held }) => held));
      at('ack', 3)(rule, killed.kill9);
      for (const { letGo } of gates) letGo();
      expectKilled(await killed.outcome);
      const { summary, output } = await stays.outcome;
      expect(summary, output).toMatchObject({ stopReason: 'caught_up' });
      await rule.gone();
      await rule.expectNextRunsToFinish(env);
      expect(expectAtLeastOnce(rule.files(), rule.topic, orders.published)).toBeLessThanOrEqual(2 * 40);
    },
  );
});

describe.concurrent('a real broker with two listeners is reached by the one that is named', () => {
  it('asked over http://', async () => {
    const rule = await rules.rule('http listener', 'exclusive', orders);
    const way = { serviceUrl: broker().httpUrl };
    const { summary, output } = await rule.startBeside(way, { PULSAR_LISTENER_NAME: 'outside' }).outcome;
    expect(summary, output).toMatchObject({ stopReason: 'caught_up', messages: 400 });
    expect(outside.count('subscribe')).toBe(2);
    await rule.expectDrained();
  });

  it('asked over pulsar://', async () => {
    const rule = await rules.rule('listener', 'exclusive', orders);
    const told = new Set<unknown>();
    // A standalone broker has its clients go on through the address that they asked, and name the one they were reported.
    rule.proxy.watcher = ({ name, fields }) => {
      if (name === 'connect') told.add(fields['proxyToBrokerUrl']);
      return undefined;
    };
    const { summary, output } = await rule.start({ PULSAR_LISTENER_NAME: 'outside' }).outcome;
    expect(summary, output).toMatchObject({ stopReason: 'caught_up', messages: 400 });
    expect([...told]).toEqual([undefined, outside.serviceUrl.replace('pulsar://', '')]);
    await rule.expectDrained();
  });
});

it('a real broker that is killed in mid-run and comes back with its data is waited for', async () => {
  const running = await Promise.all(
    TYPES.map(async (type) => {
      const rule = await rules.rule('restarted', type, orders);
      const { held, letGo } = hold(rule.proxy, 'message', 30);
      return { rule, held, letGo, run: rule.start({ FILE_MAX_MESSAGES: '60' }) };
    }),
  );
  await Promise.all(running.map(({ held }) => held));
  await broker().kill9();
  await broker().restart();
  for (const { rule, letGo, run } of running) {
    letGo();
    const { summary, output } = await run.outcome;
    expect(summary, output).toMatchObject({ stopReason: 'caught_up', messages: 400 });
    await rule.expectDrained();
  }
});
