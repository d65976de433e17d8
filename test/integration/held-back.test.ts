// What real brokers hold back, and what they tell too little of: transactions of the official Java client, batches of
// no messages, compaction, and what others acknowledge, skip or clear. Run `npm run package` first.
import { describe, expect, it } from 'vitest';
import { encodeEntry } from '../../src/local/broker/frames.ts';
import type { SourcePartition } from '../../src/ports.ts';
import { connectPublisher } from '../contract/broker-publisher.ts';
import { openSource, take } from '../pulsar/wire/loopback-source.ts';
import { objectsUnder } from './archive-under-test.ts';
import { backlogOf, createSubscription, createTopic } from './broker/topics.ts';
import type { PulsarVersion } from './broker/version.ts';
import { startBrokerProxy } from './broker-proxy.ts';
import { type Invocation, invoke } from './invoke.ts';
import { runPython } from './python.ts';
import { publish } from './python-clients.ts';
import { openTransaction } from './transactions.ts';
import { useBroker } from './use-broker.ts';
import { prefixOf, ruleEnv, useCos } from './use-cos.ts';

const cos = useCos();

/** Seconds, where it was 20 and a failure. */
const SOON_MS = 8_000;
/** With nothing to wait for. */
const AT_ONCE_MS = 2_500;

describe.each<PulsarVersion>(['4.0.7', '3.0.0'])('a real broker %s', (version) => {
  const broker = useBroker({ version, extraConf: { transactionCoordinatorEnabled: 'true' } });

  async function topicOf(name: string, count = 10): Promise<string> {
    const topic = await createTopic(broker(), `${name}-${version.replaceAll('.', '-')}`);
    await createSubscription(broker(), topic, 'backup');
    await publish(broker().serviceUrl, { topic, count, size: 50, batching: false });
    return topic;
  }

  const run = (topic: string, env: Record<string, string> = {}) =>
    invoke({ env: ruleEnv(cos(), env['PULSAR_SERVICE_URL'] ?? broker().serviceUrl, topic, env) });

  function expectSuccess({ summary, output }: Invocation, expected: object, withinMs: number): void {
    expect(summary, output).toMatchObject({ stopReason: 'caught_up', ...expected });
    expect(summary?.durationMs).toBeLessThan(withinMs);
  }

  it('messages of an open transaction are named soon, and stored when it is committed', async () => {
    const topic = await topicOf('published-in-transaction');
    const transaction = await openTransaction(broker().serviceUrl, { produce: topic, count: 3 });
    for (const messages of [10, 0]) {
      const expected = { messages, heldBack: 'open transaction', backlog: { entries: 3 } };
      expectSuccess(await run(topic), expected, SOON_MS);
    }
    await transaction.commit();
    const after = await run(topic);
    expectSuccess(after, { messages: 3, backlog: { entries: 0 } }, SOON_MS);
    expect(after.summary).not.toHaveProperty('heldBack');
    expectSuccess(await run(topic), { messages: 0 }, AT_ONCE_MS);
  });

  it('messages acknowledged in an open transaction are named soon', async () => {
    const topic = await topicOf('acknowledged-in-transaction');
    const work = { acknowledge: topic, subscription: 'backup', count: 3 };
    const transaction = await openTransaction(broker().serviceUrl, work);
    for (const messages of [7, 0]) {
      const expected = { messages, heldBack: 'open transaction', backlog: { entries: 3 } };
      expectSuccess(await run(topic), expected, SOON_MS);
    }
    await transaction.commit();
    expectSuccess(await run(topic), { messages: 0, backlog: { entries: 0 } }, AT_ONCE_MS);
  });

  it('a batch of no messages at the end is acknowledged', async () => {
    const topic = await topicOf('empty-batch');
    const publisher = await connectPublisher(broker().serviceUrl, undefined);
    const metadata = { producerName: 'p', sequenceId: 1, publishTime: Date.now(), numMessagesInBatch: 0 };
    const empty = { bytes: encodeEntry(metadata, new Uint8Array()), messages: 1, isChunk: false };
    for (const messages of [10, 0, 0]) {
      await publisher.publish(topic, [empty]);
      expectSuccess(await run(topic), { messages, backlog: { entries: 0 } }, SOON_MS);
    }
    await publisher.close();
  });

  it.each(['exclusive', 'shared'])(
    'chunks of a dead producer are named, then kept raw (%s)',
    async (type) => {
      const topic = await topicOf(`dead-chunks-${type}`, 0);
      const publisher = await connectPublisher(broker().serviceUrl, undefined);
      const publishTime = Date.now() - 120_000;
      const chunks = [0, 1].map((chunkId) => ({
        bytes: encodeEntry(
          {
            ...{ producerName: 'p', sequenceId: 1, publishTime, uuid: 'dead', chunkId },
            ...{ numChunksFromMsg: 3, totalChunkMsgSize: 9 },
          },
          Buffer.from('abc'),
        ),
        messages: 1,
        isChunk: true,
      }));
      await publisher.publish(topic, chunks);
      await publisher.close();
      await publish(broker().serviceUrl, { topic, count: 5, size: 50, batching: false });
      const env = { PULSAR_SUBSCRIPTION_TYPE: type };
      for (const messages of [5, 0]) {
        const expected = { messages, heldBack: 'incomplete chunks', backlog: { entries: 2 } };
        expectSuccess(await run(topic, env), expected, SOON_MS);
      }
      const last = await run(topic, { ...env, RUN_CHUNK_EXPIRY_MINUTES: '1' });
      expectSuccess(last, { unreadable: 1, backlog: { entries: 0 } }, SOON_MS);
      expect(await backlogOf(broker(), topic, 'backup')).toBe(0);
      const raw = objectsUnder(cos(), prefixOf(topic)).filter(({ key }) => key.includes('_unreadable/'));
      expect(raw).toHaveLength(2);
    },
  );

  it('messages that compaction hides from the last id are stored', async () => {
    const topic = await topicOf('compacted', 0);
    await runPython('compacted.py', [broker().serviceUrl, broker().httpUrl, topic]);
    expectSuccess(await run(topic), { messages: 7, backlog: { entries: 0 } }, AT_ONCE_MS);
  });

  it.each(['exclusive', 'failover'])(
    'the last messages, acknowledged by others, cost no time (%s)',
    async (type) => {
      const topic = await topicOf(`others-${type}`);
      const { source, partitions } = await openSource(broker(), {
        topic: nameOf(topic),
        subscriptionType: 'shared',
      });
      const [first] = partitions as [SourcePartition];
      await first.acknowledge((await take(first, 10)).slice(-3).map(({ id }) => id));
      await source.close();
      const done = await run(topic, { PULSAR_SUBSCRIPTION_TYPE: type });
      expectSuccess(done, { messages: 7, backlog: { entries: 0 } }, AT_ONCE_MS + 1_000);
      expect(done.summary).not.toHaveProperty('heldBack');
    },
  );

  it('a backlog that is cleared while the run waits for it ends the run', async () => {
    const topic = await topicOf('cleared');
    const proxy = await startBrokerProxy(() => broker().serviceUrl);
    let clearedAtMs = 0;
    proxy.watcher = async ({ name, nth }) => {
      if (name !== 'message' || nth < 8) return undefined;
      if (nth === 8) {
        await broker().admin('POST', `${topic.replace('://', '/')}/subscription/backup/skip_all`);
        clearedAtMs = performance.now();
      }
      return 'drop';
    };
    const done = await run(topic, { PULSAR_SERVICE_URL: proxy.serviceUrl });
    expectSuccess(done, { messages: 7, backlog: { entries: 0 } }, 30_000);
    expect(performance.now() - clearedAtMs).toBeLessThan(AT_ONCE_MS + 1_000);
    await proxy.close();
  });
});

function nameOf(full: string) {
  const [tenant, namespace, topic] = full.replace('persistent://', '').split('/') as [string, string, string];
  return { tenant, namespace, topic, full };
}
