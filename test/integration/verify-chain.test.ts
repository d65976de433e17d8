// `archive verify` over what runs left on a real broker: nothing is called a loss that is none, whatever moved the
// subscription or left ids out, and what is then removed from the bucket is named. Run `npm run package` first.
import { expect, it, vi } from 'vitest';
import { type VerifyReport, verifyArchive } from '../../src/archive/verify/verify.ts';
import type { MemoryStore } from '../fakes/memory-store.ts';
import { copyOf, runManifests } from './archive-under-test.ts';
import { backlogOf, createSubscription, createTopic } from './broker/topics.ts';
import { type Invocation, invoke, startInvocation } from './invoke.ts';
import { consumersOf } from './proxied-rule.ts';
import { publish } from './python-clients.ts';
import { openTransaction } from './transactions.ts';
import { useBroker } from './use-broker.ts';
import { prefixOf, ruleEnv, useCos } from './use-cos.ts';

const broker = useBroker({
  extraConf: { transactionCoordinatorEnabled: 'true', managedLedgerMaxEntriesPerLedger: '100000' },
});
const cos = useCos();
let requests = 0;

async function ruleOf(name: string, partitions: number) {
  const topic = await createTopic(broker(), name, partitions);
  await createSubscription(broker(), topic, 'backup');
  const prefix = prefixOf(topic);
  const partitionOf = (partition: number) => `${topic}${partitions === 0 ? '' : `-partition-${partition}`}`;
  return {
    ...{ topic, prefix, partitionOf },
    publish: (count: number) => publish(broker().serviceUrl, { topic, count, size: 50, batching: false }),
    run: (env: Record<string, string> = {}) =>
      invoke({
        env: ruleEnv(cos(), broker().serviceUrl, topic, { PULSAR_SUBSCRIPTION_TYPE: 'failover', ...env }),
        requestId: `request-${++requests}`,
      }),
    kill(env: Record<string, string>) {
      const run = startInvocation({ env: ruleEnv(cos(), broker().serviceUrl, topic, env) });
      cos().setOnRequest((kind, key) => {
        if (kind !== 'put' || !key.startsWith(`${prefix}_runs/`)) return undefined;
        run.kill9();
        return new Promise(() => undefined);
      });
      return run.outcome.finally(() => cos().setOnRequest(undefined));
    },
    admin: (method: string, path: string, body?: unknown, partition = 0) =>
      broker().admin(method, `${partitionOf(partition).replace('://', '/')}/${path}`, body),
    async expire(partition: number) {
      // What is to expire has to be older than a second.
      const hasExpired = async () => {
        const path = `${partitionOf(partition).replace('://', '/')}/subscription/backup/expireMessages/1`;
        // Refused while one is under way.
        await broker()
          .admin('POST', path)
          .catch((error: Error) => {
            if (!error.message.includes(': 409 ')) throw error;
          });
        return (await backlogOf(broker(), partitionOf(partition), 'backup')) === 0;
      };
      await vi.waitUntil(hasExpired, { interval: 500, timeout: 30_000 });
    },
  };
}

function expectDrained({ summary, output }: Invocation, expected: object = {}): void {
  expect(summary, output).toMatchObject(expected);
}

const verify = (store: MemoryStore, prefix: string): Promise<VerifyReport> =>
  verifyArchive(store, prefix, { level: 'record' });

const damages = ({ findings }: VerifyReport) =>
  findings.filter(({ severity }) => severity === 'damage').map(({ kind, key }) => `${kind} ${key}`);

it('calls nothing a loss on a Failover subscription of several runs and instances, and names what is removed', async () => {
  const rule = await ruleOf('chain', 2);
  await rule.publish(40);
  expectDrained(await rule.run(), { messages: 40 });
  // Two instances at each tick, together, or one after the other has begun.
  for (let tick = 0; tick < 3; tick++) {
    await rule.publish(40);
    const one = rule.run();
    const isThere = async () => (await consumersOf(broker(), rule.topic, 'backup')) > 0;
    if (tick === 1) await vi.waitUntil(isThere, { interval: 20, timeout: 30_000 });
    for (const run of await Promise.all([one, rule.run()])) expectDrained(run);
  }
  await rule.run();
  // The subscription loses seven of a partition by a skip, and all of another by the TTL.
  const expired = (await rule.publish(40)).filter(({ id }) => id.split(':')[2] === '1').length;
  await rule.admin('POST', 'subscription/backup/skip/7', undefined, 0);
  await rule.expire(1);
  expectDrained(await rule.run(), { subscriptionMoved: 2 });
  // An aborted transaction is between messages, and one behind them.
  for (const count of [20, 0]) {
    const work = { produce: rule.partitionOf(0), count: 3 };
    await (await openTransaction(broker().serviceUrl, work)).abort();
    if (count > 0) await rule.publish(count);
    expectDrained(await rule.run(), { messages: count });
    expectDrained(await rule.run(), { messages: 0 });
  }
  // A run is killed between its last acknowledgement and its manifest; the topic is unloaded.
  await rule.publish(40);
  expect(
    (await rule.kill({ PULSAR_SUBSCRIPTION_TYPE: 'failover', FILE_MAX_MESSAGES: '10' })).summary,
  ).toBeUndefined();
  for (const partition of [0, 1]) await rule.admin('PUT', 'unload', undefined, partition);
  await rule.publish(40);
  expectDrained(await rule.run());
  const lastRun = await rule.publish(40).then(() => rule.run());
  expectDrained(lastRun, { messages: 40 });

  const report = await verify(copyOf(cos(), rule.prefix), rule.prefix);
  expect(damages(report)).toEqual([]);
  expect(report.findings.map(({ kind }) => kind).sort()).toEqual(['passed-over', 'passed-over']);
  expect(report.partitions.map(({ passedOver }) => passedOver)).toEqual([
    { places: 1, entries: 7 },
    { places: 1, entries: expired },
  ]);
  expect(report.partitions[0]?.withoutMessage.entries).toBeGreaterThanOrEqual(6);
  expect(report.partitions.map(({ lost, unknown }) => [lost.entries, unknown.entries])).toEqual([
    [0, 0],
    [0, 0],
  ]);

  // Each run that stored something, gone with its manifest, is missed, and its messages with it.
  const manifests = runManifests(cos(), rule.prefix);
  for (const { key, manifest } of manifests.slice(1, -1)) {
    const stored = manifest['storedObjects'] as { key: string; partition: number; messages: number }[];
    const store = copyOf(cos(), rule.prefix);
    for (const one of [key, ...stored.map((object) => object.key)]) store.objects.delete(one);
    const damaged = await verify(store, rule.prefix);
    expect(damages(damaged)).toContain(`manifest ${key}`);
    for (const partition of [0, 1]) {
      const messages = stored.reduce((sum, one) => sum + (one.partition === partition ? one.messages : 0), 0);
      const { lost } = damaged.partitions[partition] ?? {};
      expect(lost?.entries, `${key}, partition ${partition}`).toBeGreaterThanOrEqual(messages);
      // What the run alone knew of is gone with it: ids that had no message (three aborted ones and their marker), and
      // what the subscription had lost.
      const moved = (manifest['moved'] ?? []) as { partition: number; entriesAtMost: number }[];
      const passedOver = moved.find((one) => one.partition === partition)?.entriesAtMost ?? 0;
      expect(lost?.entries, `${key}, partition ${partition}`).toBeLessThanOrEqual(messages + passedOver + 4);
    }
  }
});

it('calls nothing a loss on an Exclusive subscription whose topic was made anew, or that was reset', async () => {
  const rule = await ruleOf('chain-anew', 0);
  const exclusive = { PULSAR_SUBSCRIPTION_TYPE: 'exclusive' };
  await rule.publish(20);
  expectDrained(await rule.run(exclusive), { messages: 20 });
  await rule.publish(20);
  expectDrained(await rule.run(exclusive), { messages: 20 });
  const { lastConfirmedEntry } = (await rule.admin('GET', 'internalStats')) as { lastConfirmedEntry: string };
  const ledgerId = Number(lastConfirmedEntry.split(':')[0]);
  await rule.admin('POST', 'subscription/backup/resetcursor', {
    ...{ ledgerId, entryId: 19, partitionIndex: -1, batchIndex: -1 },
  });
  expectDrained(await rule.run(exclusive));
  await broker().admin('DELETE', `${rule.topic.replace('://', '/')}?force=true`);
  await createTopic(broker(), 'chain-anew');
  await createSubscription(broker(), rule.topic, 'backup');
  for (let tick = 0; tick < 2; tick++) {
    await rule.publish(20);
    expectDrained(await rule.run(exclusive), { messages: 20 });
  }
  const report = await verify(copyOf(cos(), rule.prefix), rule.prefix);
  expect(damages(report)).toEqual([]);
  expect(report.findings.map(({ kind }) => kind)).not.toContain('gap');
});
