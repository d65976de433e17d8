// A young rest waits in the subscription, on a real broker: an hour of ticks whose clocks are put forward, kills at the
// steps of a run, other limits, and two instances. Run `npm run build` first.
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { verifyArchive } from '../../src/archive/verify/verify.ts';
import { systemClock } from '../../src/lib/clock.ts';
import type { TopicProducer } from '../../src/ports.ts';
import { createWirePublisher } from '../../src/pulsar/wire/producer-publisher.ts';
import { copyOf, runManifests, storedFiles } from './archive-under-test.ts';
import { backlogOf, createSubscription, createTopic } from './broker/topics.ts';
import { type Invocation, invoke, type Summary, startInvocation } from './invoke.ts';
import { randomFrom } from './kill-points.ts';
import { openTransaction } from './transactions.ts';
import { useBroker } from './use-broker.ts';
import { prefixOf, ruleEnv, useCos } from './use-cos.ts';

const MINUTE_MS = 60_000;
const INTERVAL_MINUTES = 5;

/** How far all clocks are ahead: the rule's, its producers' and that of COS. */
let aheadMs = 0;
const clock = { ...systemClock, now: () => Date.now() + aheadMs };
const broker = useBroker({ extraConf: { transactionCoordinatorEnabled: 'true' } });
const cos = useCos({ clock: clock.now });

const ahead = () => ({
  NODE_OPTIONS: `--require ${join(import.meta.dirname, 'clock-ahead.cjs')}`,
  CLOCK_AHEAD_MS: String(aheadMs),
});

/** A topic with a producer on each partition, that publish under the clock that is put forward. */
async function openTopic(name: string, partitions: number) {
  const topic = await createTopic(broker(), name, partitions);
  await createSubscription(broker(), topic, 'backup');
  const config = { serviceUrl: broker().serviceUrl, token: undefined, tlsCaFile: undefined };
  const publisher = createWirePublisher({
    config: { ...config, listenerName: undefined, clientCertificate: undefined },
    clock,
    signal: new AbortController().signal,
  });
  const options = { compression: 'none', batching: false, windowBytes: 1_000_000, mayRepeat: false } as const;
  const open = (partition: number) =>
    publisher.open(`${topic}-partition-${partition}`, `p-${partition}`, options);
  const producers: TopicProducer[] = await Promise.all(Array.from({ length: partitions }, (_, i) => open(i)));
  const published: string[] = [];
  return {
    topic,
    prefix: prefixOf(topic),
    published,
    /** One message to each partition. */
    async publish() {
      for (const [partition, producer] of producers.entries()) {
        const value = `${partition}:${published.length}`;
        published.push(value);
        const message = { properties: [], key: undefined, orderingKey: undefined, eventTimeMs: undefined };
        await producer.send({ ...message, sequenceId: published.length, payload: Buffer.from(value) });
      }
      await Promise.all(producers.map((producer) => producer.flush()));
    },
    env: (more: Readonly<Record<string, string>> = {}) =>
      ruleEnv(cos(), broker().serviceUrl, topic, { ...ahead(), ...more }),
    close: () => publisher.close(),
  };
}

type Topic = Awaited<ReturnType<typeof openTopic>>;

const valuesOf = ({ prefix }: Topic) =>
  storedFiles(cos(), prefix).flatMap(({ records }) => records.map(({ value }) => value as string));

async function expectExactlyOnce(of: Topic): Promise<void> {
  expect(valuesOf(of).sort()).toEqual([...of.published].sort());
  expect(await backlogOf(broker(), of.topic, 'backup')).toBe(0);
}

/** The lines that somebody would look into. */
const alarming = (logs: readonly { readonly [field: string]: unknown }[]) =>
  logs.filter(({ level }) => level === 'warn' || level === 'error');

describe('64 partitions, a message to each before each tick, a tick every five minutes', () => {
  async function hour(name: string, lingerMinutes: number) {
    aheadMs = 0;
    const of = await openTopic(name, 64);
    const summaries: Summary[] = [];
    try {
      for (let tick = 0; tick < 12; tick++) {
        aheadMs = tick * INTERVAL_MINUTES * MINUTE_MS;
        await of.publish();
        const { summary, output, logs } = await invoke({
          env: of.env({ FILE_LINGER_MINUTES: String(lingerMinutes) }),
          requestId: `${name}-${tick}`,
        });
        expect(summary, output).toMatchObject({ stopReason: 'caught_up', backlog: { entries: 0 } });
        expect(alarming(logs)).toEqual([]);
        summaries.push(summary as Summary);
      }
    } finally {
      await of.close();
    }
    return { of, summaries };
  }

  it('leave 64 objects an hour with a linger of 55 minutes, each message in exactly one, and nothing looks lost', async () => {
    const { of, summaries } = await hour('lingering', 55);
    summaries.slice(0, 11).forEach(({ objects, lingering }, tick) => {
      expect(objects).toBe(0);
      expect(lingering?.messages).toBe(64 * (tick + 1));
      expect(lingering?.oldestPublishTime).toBe(summaries[0]?.lingering?.oldestPublishTime);
    });
    expect(summaries[11]).toMatchObject({ objects: 64, messages: 768 });
    expect(summaries[11]).not.toHaveProperty('lingering');
    expect(storedFiles(cos(), of.prefix)).toHaveLength(64);
    await expectExactlyOnce(of);
    // That of the first run, which says since when messages linger, and that of the run that stored them.
    expect(runManifests(cos(), of.prefix)).toHaveLength(2);
  });

  it('leave 768 without', async () => {
    const { of } = await hour('at-once', 0);
    expect(storedFiles(cos(), of.prefix)).toHaveLength(768);
    await expectExactlyOnce(of);
  });
});

it('two instances, other limits at each tick, and some of them killed: each message is in one object, none too late', async () => {
  const seed = Number(process.env['TEST_SEED'] ?? Date.now() % 1_000_000);
  console.info(`ticks with TEST_SEED=${seed}`);
  const random = randomFrom(seed);
  const from = (low: number, high: number) => low + Math.floor(random() * (high - low));
  aheadMs = 0;
  const of = await openTopic('shared-out', 4);
  const lingerMinutes = 20;
  const linger = { FILE_LINGER_MINUTES: String(lingerMinutes), PULSAR_SUBSCRIPTION_TYPE: 'failover' };
  const publishedAtMs = new Map<string, number>();
  let kills = 0;
  try {
    for (let tick = 0; tick < 12; tick++) {
      aheadMs = tick * INTERVAL_MINUTES * MINUTE_MS;
      for (let i = from(1, 4); i > 0; i--) await of.publish();
      for (const value of of.published) if (!publishedAtMs.has(value)) publishedAtMs.set(value, clock.now());
      const ranAtMs = clock.now();
      const env = of.env({ ...linger, FILE_MAX_MESSAGES: String(from(3, 30)) });
      const instances = [1, 2].map((one) => startInvocation({ env, requestId: `tick-${tick}-${one}` }));
      // One in three ticks, at any moment of a run.
      const isKill = tick % 3 === 1;
      const timer = isKill ? setTimeout(() => instances[0]?.kill9(), from(100, 1_500)) : undefined;
      const ended: Invocation[] = await Promise.all(instances.map(({ outcome }) => outcome));
      clearTimeout(timer);
      const output = ended.map((one) => one.output).join('\n');
      expect(output).not.toContain('subscription moved');
      const lived = ended.filter(({ summary }) => summary !== undefined);
      for (const { thrown } of ended) expect(thrown, output).toBeUndefined();
      if (isKill) kills += ended.length - lived.length;
      else expect(lived, output).toHaveLength(2);
      if (lived.length < 2) continue;
      const stored = new Set(valuesOf(of));
      for (const [value, atMs] of publishedAtMs) {
        if (!stored.has(value)) expect(ranAtMs - atMs, value).toBeLessThan(lingerMinutes * MINUTE_MS);
      }
    }
  } finally {
    await of.close();
  }
  console.info(`${kills} kills`);
  const { summary, output } = await invoke({ env: of.env({ PULSAR_SUBSCRIPTION_TYPE: 'failover' }) });
  expect(summary, output).toMatchObject({ stopReason: 'caught_up', backlog: { entries: 0 } });
  await expectExactlyOnce(of);
  const { findings } = await verifyArchive(copyOf(cos(), of.prefix), of.prefix, { level: 'record' });
  expect(findings.filter(({ kind }) => kind !== 'unlisted')).toEqual([]);
});

it('a rest with transactions in it waits as any other, and only an open one is reported', async () => {
  aheadMs = 0;
  const of = await openTopic('transactions', 1);
  const run = async (lingerMinutes = 60) => {
    const { summary, logs, output } = await invoke({
      env: of.env({ FILE_LINGER_MINUTES: String(lingerMinutes) }),
    });
    expect(alarming(logs)).toEqual([]);
    expect(summary, output).toBeDefined();
    const { lingering, backlog, heldBack } = summary as Summary;
    return { lingering: lingering?.messages, entries: backlog?.entries, heldBack };
  };
  const transaction = (count: number) =>
    openTransaction(broker().serviceUrl, { produce: `${of.topic}-partition-0`, count });
  try {
    await of.publish();
    const aborted = await transaction(3);
    await of.publish();
    for (let tick = 0; tick < 2; tick++)
      expect(await run()).toEqual({ lingering: 1, entries: 4, heldBack: 'open transaction' });
    await aborted.abort();
    for (let tick = 0; tick < 2; tick++) expect(await run()).toEqual({ lingering: 2, entries: 0 });
    await (await transaction(2)).commit();
    await (await transaction(2)).abort();
    for (let tick = 0; tick < 2; tick++) expect(await run()).toEqual({ lingering: 4, entries: 0 });
    expect(storedFiles(cos(), of.prefix)).toEqual([]);
    expect(await run(0)).toEqual({ entries: 0 });
    const stored = valuesOf(of);
    expect(stored).toHaveLength(4);
    expect(stored).toEqual(expect.arrayContaining(of.published));
    expect(await backlogOf(broker(), of.topic, 'backup')).toBe(0);
  } finally {
    await of.close();
  }
});
