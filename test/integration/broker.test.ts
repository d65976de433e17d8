// The harness itself: what the other suites rely on when they say that a broker or a foreign client did something.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { access, mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { startBroker } from './broker/broker.ts';
import { backlogOf, createSubscription, createTopic } from './broker/topics.ts';
import { rewriting, startBrokerProxy } from './broker-proxy.ts';
import { consume, publish } from './python-clients.ts';
import { useBroker } from './use-broker.ts';
import { openPartitions, wireSource } from './wire-drain.ts';

const entryCount = (messages: readonly { id: string }[]) =>
  new Set(messages.map(({ id }) => id.split(':').slice(0, 3).join(':'))).size;

describe('a broker of the test suites', () => {
  const broker = useBroker();

  it('gives back what the Python producer says that it published', async () => {
    const topic = await createTopic(broker(), 'varied', 2);
    await createSubscription(broker(), topic, 'backup');
    const published = await publish(broker().serviceUrl, { topic, count: 200, content: 'varied', size: 300 });
    const consumed = await consume(broker().serviceUrl, { topic, count: 200 });

    expect(await backlogOf(broker(), topic, 'backup')).toBe(entryCount(published));
    expect(consumed).toHaveLength(200);
    const byId = new Map(consumed.map((message) => [message.id, message]));
    for (const { index, sequenceId, sizeBytes, isText, ...fields } of published) {
      expect(byId.get(fields.id), `message ${index}`).toMatchObject(fields);
    }
  });

  it('publishes the same messages for the same seed', async () => {
    const contentOf = async (name: string) => {
      const topic = await createTopic(broker(), name);
      const published = await publish(broker().serviceUrl, { topic, count: 20, seed: 7 });
      return published.map(({ key, properties, sha256 }) => ({ key, properties, sha256 }));
    };
    expect(await contentOf('seeded-1')).toEqual(await contentOf('seeded-2'));
  });

  it('says through a proxy what a test puts into its mouth', async () => {
    const topic = await createTopic(broker(), 'rewritten');
    await publish(broker().serviceUrl, { topic, count: 5, batching: false });
    const proxy = await startBrokerProxy(() => broker().serviceUrl);
    proxy.watcher = rewriting('getLastMessageIdResponse', ({ lastMessageId, ...rest }) => ({
      ...rest,
      lastMessageId: { ...(lastMessageId as object), entryId: 2 },
    }));
    const source = wireSource({ serviceUrl: proxy.serviceUrl, topic });
    const [partition] = await openPartitions(source);
    expect(partition?.end).toMatchObject({ entryId: 2 });
    await source.close();
    await proxy.close();
  });

  it('does not know a topic that nobody made', async () => {
    await expect(broker().admin('GET', 'persistent/public/default/nowhere/stats')).rejects.toThrow('404');
  });
});

it('a broker with rocksdb has its messages after a kill -9 and a restart', async () => {
  const broker = await startBroker({ metadata: 'rocksdb', auth: true });
  try {
    const topic = await createTopic(broker, 'kept', 2);
    await createSubscription(broker, topic, 'backup');
    const token = broker.adminToken as string;
    await publish(broker.serviceUrl, { topic, count: 50, token, batching: false });
    await broker.kill9();
    await broker.restart();
    expect(await backlogOf(broker, topic, 'backup')).toBe(50);
    await expect(
      publish(broker.serviceUrl, { topic, count: 1, token: broker.token('nobody') }),
    ).rejects.toThrow();
  } finally {
    await broker.stop();
  }
});

it('a tied process and its folder go when the one who started it is killed', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'tied-'));
  const starter = join(folder, 'starter.cjs');
  const tied = join(import.meta.dirname, 'broker', 'run-tied.sh');
  await writeFile(
    starter,
    `require('node:child_process').spawn(${JSON.stringify(tied)}, [${JSON.stringify(folder)}, 'sleep', '600'], { stdio: ['pipe', 'ignore', 'ignore'] });`,
  );
  const parent = fork(starter);
  const pid = await vi.waitFor(
    async () => Number(await readFile(join(folder, 'pid'), 'utf8')) || expect.fail(),
    { timeout: 20_000 },
  );
  expect(process.kill(pid, 0)).toBe(true);
  parent.kill('SIGKILL');
  await once(parent, 'exit');
  await vi.waitFor(() => expect(() => process.kill(pid, 0)).toThrow('ESRCH'), { timeout: 20_000 });
  await vi.waitFor(() => expect(access(folder)).rejects.toThrow('ENOENT'), { timeout: 20_000 });
});
