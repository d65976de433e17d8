import { expect, it, vi } from 'vitest';
import type { SourcePartition } from '../../../src/ports.ts';
import {
  createSource,
  failureOf,
  ids,
  messages,
  openSource,
  SUBSCRIPTION,
  startBroker,
  TOPIC,
  take,
  texts,
} from './loopback-source.ts';

const FAILOVER = { subscriptionType: 'failover' } as const;

async function brokerWith(count: number, options = {}) {
  const broker = await startBroker(options);
  broker.createTopic(TOPIC);
  broker.publish(TOPIC, messages(count));
  return broker;
}

const rivals = (broker: Awaited<ReturnType<typeof startBroker>>) =>
  broker.consumers().map(({ name, isActive }) => ({ name, isActive }));

/** Names sort by chance, so it may be active already. */
function activate(broker: Awaited<ReturnType<typeof startBroker>>, name: string): void {
  if (rivals(broker).some((one) => one.name === name && one.isActive)) return;
  broker.setActiveConsumer(TOPIC, SUBSCRIPTION, name);
}

/** The first delivery that is neither idle nor an entry that waited here already. */
async function signalOf(partition: SourcePartition) {
  for (;;) {
    const delivery = await partition.next(100);
    if (delivery.kind !== 'idle' && delivery.kind !== 'entry') return delivery;
  }
}

it('does not call it idle before it is known who is active', async () => {
  const broker = await brokerWith(1, { failoverDelayMs: 400 });
  const { first } = await openSource(broker, FAILOVER);
  expect((await first.next(10)).kind).toBe('entry');
  expect((await first.next(10)).kind).toBe('idle');
});

it('calls it idle as soon as it is known and nothing comes, however long it would have waited for that', async () => {
  const broker = await brokerWith(1, { failoverDelayMs: 300 });
  broker.faults.keepsBack = () => true;
  const { first } = await openSource(broker, { ...FAILOVER, timings: { activationTimeoutMs: 60_000 } });
  expect(await first.next(10)).toEqual({ kind: 'idle' });
});

it('is on standby where the broker never makes it active', async () => {
  const broker = await brokerWith(1, { failoverDelayMs: 60_000 });
  const { first } = await openSource(broker, { ...FAILOVER, timings: { activationTimeoutMs: 200 } });
  expect(await first.next(10)).toEqual({ kind: 'standby' });
});

it('is on standby soon after the broker announces that another consumer is active, however long it would wait', async () => {
  const broker = await brokerWith(3);
  const [one, other] = await Promise.all([
    openSource(broker, { ...FAILOVER, timings: { standbyAfterMs: 100 } }),
    openSource(broker, { ...FAILOVER, timings: { standbyAfterMs: 100 } }),
  ]);
  const kinds = await Promise.all([one, other].map(async ({ first }) => (await first.next(60_000)).kind));
  expect(kinds.sort()).toEqual(['entry', 'standby']);
});

it('waits on standby until it is active, or fails, or for nothing any more', async () => {
  const broker = await brokerWith(3, { failoverDelayMs: 0 });
  const one = await openSource(broker, FAILOVER);
  const mine = rivals(broker)[0]?.name as string;
  const other = await openSource(broker, { ...FAILOVER, timings: { standbyAfterMs: 20 } });
  activate(broker, mine);
  const untilActive = (signal = new AbortController().signal) => other.first.untilActive(signal);
  while ((await other.first.next(60_000)).kind !== 'standby');
  const over = new AbortController();
  const abandoned = untilActive(over.signal);
  over.abort();
  expect(await abandoned).toBe(false);
  expect(await untilActive(over.signal)).toBe(false);
  const waiting = untilActive();
  await one.source.close();
  expect(await waiting).toBe(true);
  expect(texts(await take(other.first, 3))).toEqual(['m0', 'm1', 'm2']);

  const theirs = rivals(broker)[0]?.name as string;
  const third = await openSource(broker, { ...FAILOVER, timings: { standbyAfterMs: 20 } });
  activate(broker, theirs);
  while ((await third.first.next(60_000)).kind !== 'standby');
  const failing = third.first.untilActive(new AbortController().signal);
  await third.source.close();
  expect(await failing).toBe(true);
});

it('is at the end as soon as it is the active one, where the one before it has left nothing', async () => {
  const broker = await brokerWith(3, { failoverDelayMs: 0 });
  const one = await openSource(broker, FAILOVER);
  const mine = rivals(broker)[0]?.name as string;
  const other = await openSource(broker, { ...FAILOVER, timings: { standbyAfterMs: 60_000 } });
  activate(broker, mine);
  const taken = await take(one.first, 3, ['idle', 'standby', 'lost']);
  let delivery = other.first.next(60_000);
  await one.first.acknowledge(ids(taken));
  await one.source.close();
  while ((await delivery).kind !== 'end') {
    // It may have been the active one before.
    expect(['entry', 'lost']).toContain((await delivery).kind);
    delivery = other.first.next(60_000);
  }
});

it('loses a partition once when another consumer becomes the active one, and begins again if it comes back', async () => {
  const broker = await brokerWith(5, { failoverDelayMs: 0 });
  const one = await openSource(broker, FAILOVER);
  const taken = await take(one.first, 3);
  await one.first.acknowledge(ids(taken).slice(0, 1));
  const mine = rivals(broker)[0]?.name as string;
  const other = await openSource(broker, FAILOVER);
  const theirs = rivals(broker).find(({ name }) => name !== mine)?.name as string;
  activate(broker, theirs);
  expect((await signalOf(one.first)).kind).toBe('lost');
  expect((await signalOf(one.first)).kind).toBe('standby');
  expect(texts(await take(other.first, 2, ['idle', 'standby']))).toEqual(['m1', 'm2']);
  activate(broker, mine);
  expect((await signalOf(other.first)).kind).toBe('lost');
  expect(texts(await take(one.first, 4, ['idle', 'standby']))).toEqual(['m1', 'm2', 'm3', 'm4']);
});

it('goes on after a reconnect where nobody else had the partition', async () => {
  const broker = await brokerWith(5);
  const { first } = await openSource(broker, FAILOVER);
  const taken = await take(first, 3);
  await first.acknowledge(ids(taken).slice(0, 1));
  broker.kickConsumers(TOPIC, SUBSCRIPTION);
  const again: unknown[] = [];
  while (again.slice(-4).join() !== 'm1,m2,m3,m4') again.push(...texts(await take(first, 1)));
});

it('has lost the partition where another consumer acknowledged it while the connection was away', async () => {
  const broker = await brokerWith(5);
  const { first } = await openSource(broker, FAILOVER);
  const taken = await take(first, 5);
  await first.acknowledge(ids(taken).slice(0, 1));
  // Nothing subscribes until another consumer has come, taken and acknowledged, and gone.
  let isMine = true;
  broker.onCommand((name, _, connection) =>
    name === 'subscribe' && isMine && connection === 1 ? { error: 6, message: 'not yet' } : undefined,
  );
  broker.kickConsumers(TOPIC, SUBSCRIPTION);
  const other = await openSource(broker, FAILOVER);
  await other.first.acknowledge(ids(await take(other.first, 2)));
  await other.source.close();
  isMine = false;
  expect((await signalOf(first)).kind).toBe('lost');
  expect(texts(await take(first, 2))).toEqual(['m3', 'm4']);
});

it('has lost the partition where the broker is too old to report who acknowledged', async () => {
  const broker = await brokerWith(3);
  broker.faults.protocolVersion = 16;
  const { first } = await openSource(broker, FAILOVER);
  await take(first, 3);
  broker.kickConsumers(TOPIC, SUBSCRIPTION);
  expect((await signalOf(first)).kind).toBe('lost');
  expect(texts(await take(first, 3))).toEqual(['m0', 'm1', 'm2']);
});

it('asks for nothing before the instances that come right after it have their share', async () => {
  const broker = await brokerWith(5, { failoverDelayMs: 0 });
  const asked: string[] = [];
  broker.onCommand((name) => {
    if (name === 'flow' || name === 'subscribe') asked.push(name);
    return undefined;
  });
  const begin = async () => {
    const { first } = await openSource(broker, { ...FAILOVER, timings: { settleMs: 1_500 } });
    return await take(first, 1, ['idle', 'lost']);
  };
  const one = begin();
  await vi.waitUntil(() => asked.length > 0, { interval: 5, timeout: 20_000 });
  expect(texts(await Promise.any([one, begin()]))).toEqual(['m0']);
  expect(asked.slice(0, 2)).toEqual(['subscribe', 'subscribe']);
});

it('waits for no other instance where there is nothing to drain, and not longer than the run', async () => {
  const broker = await brokerWith(0);
  const patient = { ...FAILOVER, timings: { settleMs: 60_000 } };
  await openSource(broker, patient);
  broker.publish(TOPIC, messages(1));
  const end = new AbortController();
  const opening = failureOf(createSource(broker, { ...patient, signal: end.signal }).open());
  await vi.waitUntil(() => rivals(broker).length === 2, { interval: 5, timeout: 20_000 });
  end.abort();
  expect(await opening).toMatchObject({ code: 'source', message: expect.stringContaining('ended') });
});

it('knows on standby whether the one that has the partition has drained it', async () => {
  const broker = await brokerWith(3, { failoverDelayMs: 0 });
  const one = await openSource(broker, FAILOVER);
  const mine = rivals(broker)[0]?.name as string;
  const other = await openSource(broker, { ...FAILOVER, timings: { standbyAfterMs: 20 } });
  activate(broker, mine);
  while ((await other.first.next(60_000)).kind !== 'standby');
  const taken = await take(one.first, 3, ['idle', 'standby', 'lost']);
  await one.first.acknowledge(ids(taken).slice(0, 2));
  expect(await other.first.isDrained()).toBe(false);
  broker.publish(TOPIC, messages(1));
  await one.first.acknowledge(ids(taken).slice(2));
  expect(await other.first.isDrained()).toBe(true);
  await other.source.close();
  expect(await other.first.isDrained()).toBe(true);
});
