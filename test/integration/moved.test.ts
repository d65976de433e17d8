// A subscription that is moved on a real broker, by every way that an admin and the broker itself have; and all that
// moves it without a loss, of which no run may say a word. Run `npm run package` first.
import { describe, expect, it, vi } from 'vitest';
import { encodeEntry } from '../../src/local/broker/frames.ts';
import { connectPublisher } from '../contract/broker-publisher.ts';
import { objectsUnder, runManifests } from './archive-under-test.ts';
import { backlogOf, createSubscription, createTopic } from './broker/topics.ts';
import { type Invocation, invoke, startInvocation } from './invoke.ts';
import { consumersOf } from './proxied-rule.ts';
import { publish } from './python-clients.ts';
import { useBroker } from './use-broker.ts';
import { prefixOf, ruleEnv, useCos } from './use-cos.ts';

const broker = useBroker({
  extraConf: {
    managedLedgerMaxEntriesPerLedger: '100000',
    // What a retention would keep is trimmed at once.
    defaultRetentionTimeInMinutes: '0',
    defaultRetentionSizeInMB: '0',
  },
});
const cos = useCos();

interface Rule {
  readonly topic: string;
  publish(count: number): Promise<void>;
  run(env?: Record<string, string>): Promise<Invocation>;
  env(more?: Record<string, string>): Record<string, string>;
  /** The admin API, below the topic (or a partition of it). */
  admin(method: string, path: string, body?: unknown, partition?: number): Promise<unknown>;
}

let requests = 0;
async function ruleOf(name: string, partitions = 0): Promise<Rule> {
  const topic = await createTopic(broker(), name, partitions);
  await createSubscription(broker(), topic, 'backup');
  const env = (more: Record<string, string> = {}) => ruleEnv(cos(), broker().serviceUrl, topic, more);
  return {
    topic,
    env,
    async publish(count) {
      await publish(broker().serviceUrl, { topic, count, size: 50, batching: false });
    },
    run: (more) => invoke({ env: env(more), requestId: `request-${++requests}` }),
    admin: (method, path, body, partition) =>
      broker().admin(
        method,
        `${topic.replace('://', '/')}${partition === undefined ? '' : `-partition-${partition}`}/${path}`,
        body,
      ),
  };
}

const movesOf = ({ logs }: Invocation) => logs.filter(({ message }) => message === 'subscription moved');
const warningsOf = ({ logs }: Invocation) => logs.filter(({ level }) => level === 'warn');

async function expectQuiet(running: Promise<Invocation>, stopReason: unknown = 'caught_up'): Promise<void> {
  const run = await running;
  expect(run.summary, run.output).toMatchObject({ stopReason });
  expect(warningsOf(run), run.output).toEqual([]);
  expect(run.summary).not.toHaveProperty('subscriptionMoved');
}

const WAYS: [way: string, move: (rule: Rule) => Promise<unknown>, lost: number, stored: number][] = [
  ['skip', (rule) => rule.admin('POST', 'subscription/backup/skip/15'), 15, 25],
  ['clear-backlog', (rule) => rule.admin('POST', 'subscription/backup/skip_all'), 40, 0],
  [
    'TTL',
    async (rule) => {
      // What is to expire has to be older than a second.
      const hasExpired = async () => {
        await rule.admin('POST', 'subscription/backup/expireMessages/1');
        return (await backlogOf(broker(), rule.topic, 'backup')) === 0;
      };
      await vi.waitUntil(hasExpired, { interval: 500, timeout: 30_000 });
    },
    40,
    0,
  ],
  [
    'a reset forwards',
    async (rule) => {
      const { lastConfirmedEntry } = (await rule.admin('GET', 'internalStats')) as {
        lastConfirmedEntry: string;
      };
      const [ledgerId, entryId] = lastConfirmedEntry.split(':').map(Number);
      const to = { ledgerId, entryId: (entryId as number) - 4, partitionIndex: -1, batchIndex: -1 };
      await rule.admin('POST', 'subscription/backup/resetcursor', to);
    },
    35,
    5,
  ],
  [
    'a subscription that is deleted and made anew at latest',
    async (rule) => {
      await rule.admin('DELETE', 'subscription/backup');
      await createSubscription(broker(), rule.topic, 'backup', 'latest');
    },
    40,
    0,
  ],
];

describe('what is passed over is reported', () => {
  it.each(WAYS)('by %s', async (way, move, lost, stored) => {
    const rule = await ruleOf(`moved-${way.replaceAll(/\W+/g, '-')}`);
    await rule.publish(20);
    await expectQuiet(rule.run());
    await rule.publish(40);
    await move(rule);
    const run = await rule.run();
    expect(run.summary, run.output).toMatchObject({
      stopReason: 'caught_up',
      messages: stored,
      subscriptionMoved: 1,
    });
    expect(movesOf(run), run.output).toMatchObject([
      {
        level: 'warn',
        partition: -1,
        topic: rule.topic,
        direction: 'forwards',
        from: expect.stringMatching(/^\d+:19$/),
        entriesAtMost: lost,
      },
    ]);
    const manifests = runManifests(cos(), prefixOf(rule.topic));
    expect(manifests.flatMap(({ manifest }) => manifest['moved'] ?? [])).toHaveLength(1);
    await rule.publish(10);
    await expectQuiet(rule.run());
  });

  it('by a reset backwards, as messages that come again', async () => {
    const rule = await ruleOf('moved-back');
    await rule.publish(20);
    await expectQuiet(rule.run());
    const { lastConfirmedEntry } = (await rule.admin('GET', 'internalStats')) as {
      lastConfirmedEntry: string;
    };
    const ledgerId = Number(lastConfirmedEntry.split(':')[0]);
    await rule.admin('POST', 'subscription/backup/resetcursor', {
      ledgerId,
      entryId: 12,
      partitionIndex: -1,
      batchIndex: -1,
    });
    const run = await rule.run();
    expect(movesOf(run), run.output).toMatchObject([{ direction: 'backwards', from: `${ledgerId}:19` }]);
    expect(run.summary).not.toHaveProperty('subscriptionMoved');
    await expectQuiet(rule.run());
  });

  it.each(['keeper', undefined])(
    'by clear-backlog before the topic was unloaded (kept by %s)',
    async (keeper) => {
      const rule = await ruleOf(`moved-closed-${keeper}`);
      if (keeper !== undefined) await createSubscription(broker(), rule.topic, keeper);
      await rule.publish(20);
      await expectQuiet(rule.run());
      await rule.publish(40);
      await rule.admin('POST', 'subscription/backup/skip_all');
      await rule.admin('PUT', 'unload');
      await rule.publish(5);
      const run = await rule.run();
      expect(run.summary, run.output).toMatchObject({ messages: 5, subscriptionMoved: 1 });
      expect(movesOf(run), run.output).toMatchObject([{ direction: 'forwards' }]);
      await expectQuiet(rule.run());
    },
  );

  it('while a run drains, which ends before what it was to drain to', async () => {
    const rule = await ruleOf('moved-meanwhile');
    await publish(broker().serviceUrl, { topic: rule.topic, count: 1_500, size: 50_000, batching: false });
    let clearing: Promise<unknown> | undefined;
    cos().setOnRequest(async (kind, key) => {
      if (kind !== 'put' || !key.startsWith(prefixOf(rule.topic)) || clearing !== undefined) return;
      clearing = rule.admin('POST', 'subscription/backup/skip_all');
      await clearing;
    });
    const run = await invoke({ env: rule.env({ FILE_MAX_MESSAGES: '50' }), memoryMb: 128 });
    cos().setOnRequest(undefined);
    expect(run.summary, run.output).toMatchObject({ stopReason: 'caught_up', subscriptionMoved: 1 });
    const [move] = movesOf(run);
    const stored = run.summary?.messages as number;
    expect(stored).toBeLessThan(1_500);
    expect(move).toMatchObject({ direction: 'forwards', to: expect.stringMatching(/:1499$/) });
    expect(stored + (move?.['entriesAtMost'] as number)).toBe(1_500);
    await expectQuiet(rule.run());
  });

  it('by a reset while a run drains, which disconnects it and lets it reach its end', async () => {
    const rule = await ruleOf('reset-meanwhile');
    await rule.publish(5);
    await expectQuiet(rule.run());
    await publish(broker().serviceUrl, { topic: rule.topic, count: 1_500, size: 50_000, batching: false });
    let resetting: Promise<unknown> | undefined;
    cos().setOnRequest(async (kind, key) => {
      if (kind !== 'put' || !key.startsWith(prefixOf(rule.topic)) || resetting !== undefined) return;
      resetting = rule.admin('POST', `subscription/backup/resetcursor/${Date.now() + 3_600_000}`);
      await resetting;
      await rule.publish(10);
    });
    const run = await invoke({ env: rule.env({ FILE_MAX_MESSAGES: '50' }), memoryMb: 128 });
    cos().setOnRequest(undefined);
    expect(run.summary, run.output).toMatchObject({ stopReason: 'caught_up', subscriptionMoved: 1 });
    const missing = 1_510 - (run.summary?.messages as number);
    const left = await rule.run();
    expect(warningsOf(left), left.output).toEqual([]);
    expect(movesOf(run)).toMatchObject([{ entriesAtMost: missing - (left.summary?.messages as number) }]);
  });

  it('in the partition where it happened', async () => {
    const rule = await ruleOf('moved-partition', 4);
    await rule.publish(80);
    await expectQuiet(rule.run());
    await rule.publish(80);
    await rule.admin('POST', 'subscription/backup/skip/7', undefined, 2);
    const run = await rule.run({ PULSAR_SUBSCRIPTION_TYPE: 'failover' });
    expect(movesOf(run), run.output).toMatchObject([{ partition: 2, entriesAtMost: 7 }]);
  });

  it('on a Shared subscription', async () => {
    const rule = await ruleOf('moved-shared');
    const shared = { PULSAR_SUBSCRIPTION_TYPE: 'shared' };
    await rule.publish(20);
    await expectQuiet(rule.run(shared));
    await rule.publish(40);
    await rule.admin('POST', 'subscription/backup/skip/15');
    const run = await rule.run(shared);
    expect(movesOf(run), run.output).toMatchObject([{ direction: 'forwards', entriesAtMost: 15 }]);
    await expectQuiet(rule.run(shared));
  });
});

describe('no word is said', () => {
  it('when the topic is unloaded and its ledgers are trimmed, with messages and without', async () => {
    const rule = await ruleOf('unloaded');
    await rule.publish(20);
    await expectQuiet(rule.run());
    for (let round = 0; round < 4; round++) {
      // Then ledgers stay although they were read to their end.
      if (round === 2) await createSubscription(broker(), rule.topic, 'keeper');
      await rule.admin('PUT', 'unload');
      if (round % 2 === 1) await rule.publish(10);
      await expectQuiet(rule.run());
      await expectQuiet(rule.run());
    }
  });

  it('when a run is killed between its acknowledgement and its manifest', async () => {
    const rule = await ruleOf('killed', 2);
    await rule.publish(100);
    await expectQuiet(rule.run());
    await rule.publish(100);
    const run = startInvocation({ env: rule.env({ FILE_MAX_MESSAGES: '20' }) });
    cos().setOnRequest((kind, key) => {
      if (kind !== 'put' || !key.startsWith(`${prefixOf(rule.topic)}_runs/`)) return undefined;
      run.kill9();
      return new Promise(() => undefined);
    });
    expect((await run.outcome).summary).toBeUndefined();
    cos().setOnRequest(undefined);
    expect(objectsUnder(cos(), `${prefixOf(rule.topic)}_runs/`)).toHaveLength(1);
    await expectQuiet(rule.run());
    await expectQuiet(rule.run());
  });

  it('when two Failover instances share the partitions over several ticks', async () => {
    const rule = await ruleOf('instances', 6);
    const failover = { PULSAR_SUBSCRIPTION_TYPE: 'failover' };
    for (let tick = 0; tick < 4; tick++) {
      await rule.publish(120);
      const one = rule.run(failover);
      // Together, or one after the other has begun.
      const isThere = async () => (await consumersOf(broker(), rule.topic, 'backup')) > 0;
      if (tick % 2 === 1) await vi.waitUntil(isThere, { interval: 20, timeout: 30_000 });
      await Promise.all([one, rule.run(failover)].map((run) => expectQuiet(run, expect.any(String))));
    }
  });

  it('when markers stand between the messages and behind them', async () => {
    const rule = await ruleOf('markers');
    const publisher = await connectPublisher(broker().serviceUrl, undefined);
    const entry = (markerType?: number) => {
      const metadata = { producerName: 'p', sequenceId: 0, publishTime: Date.now() };
      const bytes = encodeEntry({ ...metadata, ...(markerType && { markerType }) }, Buffer.from('x'));
      return { bytes, messages: 1, isChunk: false };
    };
    const [message, marker] = [entry(), entry(10)];
    for (const entries of [[message, marker, message, marker], [marker], [marker, message], [marker]]) {
      await publisher.publish(rule.topic, entries);
      await expectQuiet(rule.run());
      await expectQuiet(rule.run());
    }
    await publisher.close();
  });

  it('when the topic is deleted and made anew', async () => {
    const rule = await ruleOf('anew');
    await rule.publish(20);
    await expectQuiet(rule.run());
    await broker().admin('DELETE', `${rule.topic.replace('://', '/')}?force=true`);
    await createTopic(broker(), 'anew');
    await createSubscription(broker(), rule.topic, 'backup');
    await rule.publish(20);
    await expectQuiet(rule.run());
  });

  it('when partitions are added', async () => {
    const rule = await ruleOf('added', 2);
    await rule.publish(20);
    await expectQuiet(rule.run());
    await rule.admin('POST', 'partitions', 4);
    await rule.publish(40);
    await expectQuiet(rule.run());
  });

  it('when a partition is made anew, of which a rule that began at latest loses nothing', async () => {
    const rule = await ruleOf('anew-at-latest', 2);
    const latest = { PULSAR_INITIAL_POSITION: 'latest' };
    await expectQuiet(rule.run(latest));
    await broker().admin('DELETE', `${rule.topic.replace('://', '/')}-partition-1?force=true`);
    await broker().admin('PUT', `${rule.topic.replace('://', '/')}-partition-1`);
    await rule.publish(40);
    const run = await rule.run(latest);
    expect(run.summary, run.output).toMatchObject({ messages: 40 });
  });
});
