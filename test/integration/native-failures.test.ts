// What goes wrong with PULSAR_DRIVER=native, over a real broker with token authentication and pulsar-client where its
// binding loads: failures are reported in time, killed runs lose nothing, what cannot be decoded is not passed over.
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import { Secret } from '../../src/lib/secret.ts';
import { encodeEntry } from '../../src/local/broker/frames.ts';
import type { SourcePartition } from '../../src/ports.ts';
import { createNativeSource } from '../../src/pulsar/native/source.ts';
import { parseTopicName, type TopicName } from '../../src/topic-name.ts';
import { connectPublisher } from '../contract/broker-publisher.ts';
import { contractOptions } from '../contract/contract-options.ts';
import { findNativeBinding, type NativeBinding } from '../contract/native-binding.ts';
import { ENCRYPTED } from '../contract/published-bytes.ts';
import { encodeMessages } from '../stand-ins/broker/publish.ts';
import { expectExactlyOnce, fingerprint, objectsUnder, storedFiles } from './archive-under-test.ts';
import { signToken } from './broker/token.ts';
import { backlogOf, createSubscription, createTopic } from './broker/topics.ts';
import { type Invocation, invoke, startInvocation } from './invoke.ts';
import { type PublishedMessage, publish } from './python-clients.ts';
import { useBroker } from './use-broker.ts';
import { prefixOf, ruleEnv, SECRETS, useCos } from './use-cos.ts';

const binding = await findNativeBinding('failures with PULSAR_DRIVER=native');
if (binding === undefined) {
  it('a run whose driver is not there prints no secret, and says which driver it misses', async () => {
    const cos = { url: 'http://127.0.0.1:1' };
    const native = { PULSAR_DRIVER: 'native', PULSAR_TOKEN: 'the-pulsar-token-of-a-role' };
    const { thrown, output } = await invoke({
      env: ruleEnv(cos, 'pulsar://127.0.0.1:1', 'public/default/t', native),
    });
    expect(thrown, output).toMatchObject({ message: expect.stringContaining('pulsar-client') });
    for (const secret of [native.PULSAR_TOKEN, ...Object.values(SECRETS)])
      expect(output).not.toContain(secret);
  });
} else {
  describe(`what goes wrong over pulsar-client ${binding.version}`, () => describeFailures(binding));
}

function describeFailures({ can }: NativeBinding): void {
  const broker = useBroker({ auth: true });
  const cos = useCos();
  beforeAll(async () => {
    await broker().admin('POST', 'namespaces/public/default/permissions/backup', ['consume']);
  });

  async function newTopic(name: string, partitions = 0): Promise<string> {
    const topic = await createTopic(broker(), name, partitions);
    await createSubscription(broker(), topic, 'backup');
    return topic;
  }

  async function publishedTopic(name: string, count: number, partitions = 0) {
    const topic = await newTopic(name, partitions);
    const token = broker().adminToken as string;
    return {
      topic,
      published: await publish(broker().serviceUrl, { topic, count, token, batch_messages: 20 }),
    };
  }

  /** Publishes entries as they are, one after the other; answers where they stand. */
  async function publishBytes(topic: string, ...entries: Buffer[]) {
    const publisher = await connectPublisher(broker().serviceUrl, broker().adminToken);
    const ids = await publisher.publish(
      topic,
      entries.map((bytes) => ({ bytes, messages: 1, isChunk: false })),
    );
    await publisher.close();
    return ids;
  }

  const envOf = (topic: string, env: Readonly<Record<string, string>> = {}) =>
    ruleEnv(cos(), broker().serviceUrl, topic, {
      PULSAR_DRIVER: 'native',
      PULSAR_TOKEN: broker().token('backup'),
      ...env,
    });
  const runOf = (topic: string, env: Readonly<Record<string, string>> = {}) =>
    invoke({ env: envOf(topic, env) });

  /** Ended in time with a reason and a hint that hold all of `naming`, and printed no secret. */
  function expectFailed(invocation: Invocation, code: string, ...naming: string[]): void {
    const { thrown, output, logs, durationMs } = invocation;
    expect(thrown, output).toMatchObject({ name: 'BackupError', code });
    expect(durationMs).toBeLessThan(30_000);
    expect(logs.at(-1)).toMatchObject({ level: 'error', message: 'run failed', hint: thrown?.hint });
    for (const name of naming) expect(`${thrown?.message} ${thrown?.hint}`).toContain(name);
    for (const secret of Object.values(SECRETS)) expect(output).not.toContain(secret);
  }

  async function expectBackedUp(topic: string, published: readonly PublishedMessage[]): Promise<void> {
    expectExactlyOnce(storedFiles(cos(), prefixOf(topic)), topic, published, can);
    expect(await backlogOf(broker(), topic, 'backup')).toBe(0);
    expect(cos().replacedCount).toBe(0);
  }

  describe.each(['pulsar', 'http'])('asked over %s://', (scheme) => {
    const url = () => (scheme === 'http' ? broker().httpUrl : broker().serviceUrl);

    it('a wrong token fails the run within 30 s, and the hint names the token but does not show it', async () => {
      const topic = await newTopic(`forged-${scheme}`);
      const token = signToken('backup', randomBytes(32));
      const invocation = await runOf(topic, { PULSAR_TOKEN: token, PULSAR_SERVICE_URL: url() });
      expectFailed(invocation, 'source', 'PULSAR_TOKEN');
      expect(invocation.output).not.toContain(token);
    });

    it('a role without a grant fails the run, and the hint names the grant', async () => {
      const topic = await newTopic(`stranger-${scheme}`);
      const env = { PULSAR_TOKEN: broker().token('stranger'), PULSAR_SERVICE_URL: url() };
      expectFailed(await runOf(topic, env), 'source', 'consume');
    });

    it('an unknown topic fails the run and is named', async () => {
      const invocation = await runOf('public/default/nowhere', { PULSAR_SERVICE_URL: url() });
      expectFailed(invocation, 'source', 'public/default/nowhere', 'PULSAR_TOPIC');
    });

    it('a broker that is not there fails the run', async () => {
      const invocation = await runOf('public/default/t', { PULSAR_SERVICE_URL: `${scheme}://127.0.0.1:1` });
      expectFailed(invocation, 'source', 'PULSAR_SERVICE_URL');
    });
  });

  it('a run killed between the object and its acknowledgement leaves no message lost and none twice', async () => {
    const { topic, published } = await publishedTopic('killed', 1_000);
    const env = envOf(topic, { FILE_MAX_MESSAGES: '100' });
    cos().addFault({ kind: 'put', nth: 4, times: 'always', action: { type: 'hang', when: 'after-commit' } });
    const killed = startInvocation({ env });
    const keys = () => objectsUnder(cos(), prefixOf(topic)).map(({ key }) => key);
    await vi.waitUntil(() => keys().length >= 4, { timeout: 20_000 });
    // Meanwhile the timer ticks: the subscription is exclusive, so the second run has nothing to do.
    const overlapping = await invoke({ env });
    expect(overlapping.summary, overlapping.output).toMatchObject({ stopReason: 'busy', messages: 0 });
    killed.kill9();
    expect((await killed.outcome).summary).toBeUndefined();
    cos().clearFaults();
    const before = fingerprint(cos(), prefixOf(topic));
    const next = await runOf(topic, { FILE_MAX_MESSAGES: '150' });
    expect(next.summary?.alreadyStored, next.output).toBeGreaterThan(0);
    await expectBackedUp(topic, published);
    expect(fingerprint(cos(), prefixOf(topic))).toEqual(expect.arrayContaining(before));
  });

  it.each(['exclusive', 'failover'])(
    'runs of a %s subscription that are killed at any moment leave no message lost and none twice',
    async (type) => {
      const { topic, published } = await publishedTopic(`kills-${type}`, 6_000, 2);
      const env = envOf(topic, { FILE_MAX_MESSAGES: '100', PULSAR_SUBSCRIPTION_TYPE: type });
      let kills = 0;
      for (let round = 1; round <= 12; round++) {
        const running = startInvocation({ env });
        let seen = 0;
        cos().setOnRequest(async (kind) => {
          if (kind === 'put' && ++seen === 1 + (round % 5)) {
            await sleep((round * 37) % 130);
            running.kill9();
          }
        });
        if ((await running.outcome).summary === undefined) kills++;
        cos().setOnRequest(undefined);
      }
      expect(kills).toBeGreaterThan(5);
      const last = await invoke({ env });
      expect(last.summary, last.output).toMatchObject({ stopReason: 'caught_up' });
      await expectBackedUp(topic, published);
    },
  );

  it('a run that is stopped by its deadline is a success, and the next one goes on after it', async () => {
    const { topic, published } = await publishedTopic('deadline', 1_500);
    cos().setOnRequest(async (kind) => {
      if (kind === 'put') await sleep(300);
    });
    const env = envOf(topic, { FILE_MAX_MESSAGES: '20', RUN_RESERVE_SECONDS: '5' });
    const stopped = await invoke({ env, timeLimitMs: 10_000 });
    cos().setOnRequest(undefined);
    expect(stopped.summary, stopped.output).toMatchObject({ stopReason: 'deadline', alreadyStored: 0 });
    const messages = stopped.summary?.messages ?? 0;
    expect(messages).toBeGreaterThan(0);
    expect(messages).toBeLessThan(1_500);
    const next = await runOf(topic);
    // The last PUT may have been taken although the run could not wait for its answer; the next run finds it then.
    const { messages: rest = 0, alreadyStored = 0 } = next.summary ?? {};
    expect(alreadyStored, next.output).toBeLessThanOrEqual(1);
    expect(messages + rest + 20 * alreadyStored, next.output).toBe(1_500);
    await expectBackedUp(topic, published);
  });

  it('a topic that is unloaded in mid-run is stored, each message once', async () => {
    const { topic, published } = await publishedTopic('unloaded', 4_000, 2);
    let puts = 0;
    cos().setOnRequest(async (kind) => {
      if (kind === 'put' && ++puts === 5) await broker().admin('PUT', `${topic.replace('://', '/')}/unload`);
    });
    const env = { FILE_MAX_MESSAGES: '100' };
    const first = await runOf(topic, env);
    expect(puts).toBeGreaterThan(5);
    expect(first.thrown, first.output).toBeUndefined();
    await runOf(topic, env);
    await expectBackedUp(topic, published);
  });

  it('an encrypted entry is kept raw, or fails the run where this pulsar-client keeps it back', async () => {
    const topic = await newTopic('encrypted');
    const [before, after] = encodeMessages([{ payload: 'before' }, { payload: 'after' }], 0) as [
      Buffer,
      Buffer,
    ];
    const encrypted = encodeEntry({ ...ENCRYPTED, publishTime: Date.now() }, Buffer.from('ciphertext'));
    await publishBytes(topic, before, encrypted, after);
    const invocation = await runOf(topic);
    if (!can.encrypted) {
      expectFailed(invocation, 'corrupt', 'encrypted', 'PULSAR_DRIVER=wire');
      expect(await backlogOf(broker(), topic, 'backup')).toBe(3);
      return;
    }
    expect(invocation.summary, invocation.output).toMatchObject({ messages: 2, unreadable: 1 });
    const raw = objectsUnder(cos(), `${prefixOf(topic)}_unreadable/`).find(({ key }) => key.endsWith('.bin'));
    expect(raw?.bytes.includes('ciphertext')).toBe(true);
    expect(await backlogOf(broker(), topic, 'backup')).toBe(0);
  });

  it('an entry that cannot be decompressed is dropped by pulsar-client, and that is logged as an error', async () => {
    const topic = await newTopic('corrupt');
    const [before, after] = encodeMessages([{ payload: 'before' }, { payload: 'after' }], 0) as [
      Buffer,
      Buffer,
    ];
    const metadata = {
      producerName: 'p',
      sequenceId: 0,
      publishTime: Date.now(),
      compression: 2,
      uncompressedSize: 99,
    };
    const [, id] = await publishBytes(
      topic,
      before,
      encodeEntry(metadata, Buffer.from('no zlib data')),
      after,
    );
    const { summary, logs, output } = await runOf(topic);
    expect(summary, output).toMatchObject({ messages: 2 });
    expect(logs.filter(({ level }) => level === 'error')).toContainEqual(
      expect.objectContaining({ ledgerId: id?.ledgerId, fromEntryId: id?.entryId, toEntryId: id?.entryId }),
    );
  });

  describe('a message in chunks', () => {
    const whole = Buffer.from(Array.from({ length: 250 }, (_, n) => `part ${n};`).join(''));
    const chunks = () => encodeMessages([{ payload: whole }], 0, { chunkSizeBytes: 1_000 });
    const plain = (payload: string) => encodeMessages([{ payload }], 0);
    const valuesOf = (topic: string) =>
      storedFiles(cos(), prefixOf(topic)).flatMap(({ records }) => records.map(({ value }) => value));

    it('that is not complete when a run ends waits for the next one, whatever is acknowledged behind it', async () => {
      const topic = await newTopic('chunks-later');
      const [first, ...rest] = chunks() as [Buffer, ...Buffer[]];
      await publishBytes(topic, ...plain('before'), first, ...plain('between'));
      expect((await runOf(topic)).summary).toMatchObject({ messages: 2 });
      expect(await backlogOf(broker(), topic, 'backup')).toBe(1);
      await publishBytes(topic, ...rest, ...plain('after'));
      expect((await runOf(topic)).summary).toMatchObject({ messages: 2 });
      expect(valuesOf(topic)).toEqual(['before', 'between', whole.toString(), 'after']);
      expect(await backlogOf(broker(), topic, 'backup')).toBe(0);
    });

    it('is joined although the topic moves between its chunks', async () => {
      const topic = await newTopic('chunks-moved');
      const [first, ...rest] = chunks() as [Buffer, ...Buffer[]];
      await publishBytes(topic, first);
      const token = new Secret(broker().token('backup'));
      const { serviceUrl } = broker();
      const source = createNativeSource(
        contractOptions({ serviceUrl, token, topic: parseTopicName(topic) as TopicName }),
      );
      const [partition] = (await source.open()) as readonly SourcePartition[];
      expect(await partition?.next(500)).toEqual({ kind: 'idle' });
      await broker().admin('PUT', `${topic.replace('://', '/')}/unload`);
      await publishBytes(topic, ...rest);
      const delivery = await partition?.next(10_000);
      await source.close();
      expect(delivery).toMatchObject({ kind: 'entry', messages: [{ payload: whole }] });
    });
  });
}
