// What goes wrong with a real broker and the loopback COS: a failed run fails in time, says what, where and what to do,
// acknowledges nothing that is not stored, and the next run makes everything good.
import { createServer } from 'node:net';
import { setTimeout } from 'node:timers/promises';
import { describe, expect, it, vi } from 'vitest';
import { encodeEntry } from '../../src/local/broker/frames.ts';
import { connectPublisher } from '../contract/broker-publisher.ts';
import { ENCRYPTED } from '../contract/published-bytes.ts';
import { expectExactlyOnce, fingerprint, objectsUnder, storedFiles } from './archive-under-test.ts';
import { backlogOf, createSubscription, createTopic } from './broker/topics.ts';
import { type Invocation, invoke, startInvocation } from './invoke.ts';
import { type PublishedMessage, publish } from './python-clients.ts';
import { useBroker } from './use-broker.ts';
import { BUCKET, prefixOf, ruleEnv, SECRETS, useCos } from './use-cos.ts';

/** Ledgers of 70 entries, so that the files of these tests begin in one and end in another. */
const broker = useBroker({
  extraConf: { managedLedgerMaxEntriesPerLedger: '70', managedLedgerMinLedgerRolloverTimeMinutes: '0' },
});
const cos = useCos();

/** A plain topic; each message is an entry of its own, so that the broker's backlog counts messages. */
async function publishedTopic(name: string, count: number) {
  const topic = await createTopic(broker(), name);
  await createSubscription(broker(), topic, 'backup');
  return { topic, published: await publish(broker().serviceUrl, { topic, count, batching: false }) };
}

const runOf = (topic: string, env: Readonly<Record<string, string>> = {}) =>
  invoke({ env: ruleEnv(cos(), broker().serviceUrl, topic, env) });

/** Ended in time with a reason and a hint that hold all of `naming`, and printed no secret. */
function expectFailed(invocation: Invocation, code: string, ...naming: string[]): void {
  const { thrown, output } = invocation;
  expect(thrown, output).toMatchObject({ name: 'BackupError', code });
  expect(invocation.durationMs).toBeLessThan(30_000);
  expect(thrown?.hint).toMatch(/\w+ \w+ \w+/);
  const last = invocation.logs.at(-1);
  expect(last).toMatchObject({ level: 'error', message: 'run failed', hint: thrown?.hint });
  for (const name of naming)
    expect(`${thrown?.message} ${thrown?.hint} ${JSON.stringify(last)}`).toContain(name);
  const told = output + JSON.stringify(thrown);
  for (const secret of Object.values(SECRETS)) expect(told).not.toContain(secret);
}

/** A run with nothing in its way stores and acknowledges everything, each message once. */
async function expectNextRunToFinish(topic: string, published: readonly PublishedMessage[], env = {}) {
  const next = await runOf(topic, env);
  expect(next.summary, next.output).toMatchObject({ stopReason: 'caught_up' });
  expectExactlyOnce(storedFiles(cos(), prefixOf(topic)), topic, published);
  expect(await backlogOf(broker(), topic, 'backup')).toBe(0);
  expect(cos().replacedCount).toBe(0);
  return next;
}

/** A port of the loopback interface that counts who connects, and answers nobody. */
async function silentPort() {
  let connections = 0;
  const server = createServer(() => {
    connections += 1;
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  return { port, connections: () => connections, close: () => server.close() };
}

it('wrong settings fail the run with all faults at once, and nobody is connected to', async () => {
  const silent = await silentPort();
  const requests = cos().requests().length;
  const url = `pulsar://127.0.0.1:${silent.port}`;
  const env = { FILE_MAX_MESSAGES: '5001', COS_PREFIX: '/orders', PULSAR_SUBSCRIPTON: 'x' };
  const invocation = await invoke({ env: ruleEnv(cos(), url, 'public/default/t', env) });
  silent.close();
  expectFailed(
    invocation,
    'config',
    'FILE_MAX_MESSAGES',
    'COS_PREFIX',
    'PULSAR_SUBSCRIPTON',
    'PULSAR_SUBSCRIPTION',
  );
  expect(silent.connections()).toBe(0);
  expect(cos().requests()).toHaveLength(requests);
});

describe('a broker that cannot be reached fails the run within 30 s and is named', () => {
  it.each(['pulsar', 'http'])('when nobody listens at its %s:// address', async (scheme) => {
    const silent = await silentPort();
    silent.close();
    const url = `${scheme}://127.0.0.1:${silent.port}`;
    const invocation = await invoke({ env: ruleEnv(cos(), url, 'public/default/t') });
    expectFailed(invocation, 'source', `127.0.0.1:${silent.port}`, 'PULSAR_SERVICE_URL');
  });

  it('when it accepts the connection and never answers', async () => {
    const silent = await silentPort();
    const url = `pulsar://127.0.0.1:${silent.port}`;
    const invocation = await invoke({ env: ruleEnv(cos(), url, 'public/default/t') });
    silent.close();
    expectFailed(invocation, 'source', `127.0.0.1:${silent.port}`);
  });
});

it.each(['pulsar', 'http'])(
  'an unknown topic fails the run and is named, asked over %s://',
  async (scheme) => {
    const serviceUrl = scheme === 'http' ? broker().httpUrl : broker().serviceUrl;
    const invocation = await invoke({ env: ruleEnv(cos(), serviceUrl, 'public/default/nowhere') });
    expectFailed(invocation, 'source', 'public/default/nowhere', 'PULSAR_TOPIC');
  },
);

describe('a bucket that takes nothing fails the run, and nothing is acknowledged', () => {
  it('when it does not exist', async () => {
    const { topic, published } = await publishedTopic('no-bucket', 20);
    const invocation = await runOf(topic, { COS_BUCKET: 'missing-1250000000' });
    expectFailed(invocation, 'store', 'missing-1250000000', 'COS_BUCKET');
    expect(await backlogOf(broker(), topic, 'backup')).toBe(20);
    await expectNextRunToFinish(topic, published);
  });

  it('when the run role may not write to it', async () => {
    const { topic, published } = await publishedTopic('denied', 20);
    cos().addFault({ times: 'always', action: { type: 'error', code: 'AccessDenied' } });
    const invocation = await runOf(topic);
    expectFailed(invocation, 'store', BUCKET, 'policy');
    expect(objectsUnder(cos(), prefixOf(topic))).toEqual([]);
    expect(await backlogOf(broker(), topic, 'backup')).toBe(20);
    cos().clearFaults();
    await expectNextRunToFinish(topic, published);
  });

  it('when the keys of the run role have expired', async () => {
    const { topic, published } = await publishedTopic('expired', 20);
    cos().setTokenExpired(true);
    const invocation = await runOf(topic);
    cos().setTokenExpired(false);
    expectFailed(invocation, 'store', BUCKET);
    expect(await backlogOf(broker(), topic, 'backup')).toBe(20);
    await expectNextRunToFinish(topic, published);
  });
});

/** The place in its key of the file that begins with a message. */
function keyPattern(message: PublishedMessage | undefined): string {
  const [ledger = '', entry = ''] = message?.id.split(':') ?? [];
  return `${ledger.padStart(12, '0')}-${entry.padStart(10, '0')}-00000`;
}

it('a failure after three files leaves those stored and acknowledged; the rest comes in the next run', async () => {
  const files = { FILE_MAX_MESSAGES: '100' };
  const { topic, published } = await publishedTopic('half-way', 1_000);
  expect(new Set(published.map(({ id }) => id.split(':')[0])).size, 'ledgers').toBeGreaterThan(3);
  cos().addFault({
    kind: 'put',
    key: keyPattern(published[300]),
    times: 'always',
    action: { type: 'error', code: 'AccessDenied' },
  });
  const invocation = await runOf(topic, files);
  expectFailed(invocation, 'store', BUCKET, keyPattern(published[300]));
  const stored = storedFiles(cos(), prefixOf(topic)).map((file) => file.records[0]?.id);
  expect(stored).toEqual(
    expect.arrayContaining([published[0], published[100], published[200]].map((m) => m?.id)),
  );
  expect(await backlogOf(broker(), topic, 'backup')).toBe(700);

  cos().clearFaults();
  const before = fingerprint(cos(), prefixOf(topic));
  await expectNextRunToFinish(topic, published, files);
  expect(fingerprint(cos(), prefixOf(topic))).toEqual(expect.arrayContaining(before));
});

it('COS that fails twice and then recovers costs nothing but a retry', async () => {
  const { topic, published } = await publishedTopic('recovers', 100);
  cos().addFault({ kind: 'put', times: 2, action: { type: 'status', status: 503, code: 'SlowDown' } });
  const { logs } = await expectNextRunToFinish(topic, published);
  expect(logs.some(({ message }) => message === 'upload retried')).toBe(true);
});

it('a run killed between the object and its acknowledgement leaves no message lost and none twice', async () => {
  const files = { FILE_MAX_MESSAGES: '100' };
  const { topic, published } = await publishedTopic('killed', 400);
  const env = ruleEnv(cos(), broker().serviceUrl, topic, files);
  cos().addFault({
    kind: 'put',
    key: keyPattern(published[100]),
    times: 'always',
    action: { type: 'hang', when: 'after-commit' },
  });
  const killed = startInvocation({ env });
  await vi.waitFor(
    () => {
      const keys = objectsUnder(cos(), prefixOf(topic)).map(({ key }) => key);
      expect(keys.some((key) => key.includes(keyPattern(published[100])))).toBe(true);
    },
    { timeout: 20_000 },
  );

  // Meanwhile the timer ticks: the subscription is exclusive, so the second run has nothing to do.
  const overlapping = await invoke({ env });
  expect(overlapping.summary, overlapping.output).toMatchObject({
    stopReason: 'busy',
    messages: 0,
    objects: 0,
  });

  killed.kill9();
  expect((await killed.outcome).summary).toBeUndefined();
  expect(await backlogOf(broker(), topic, 'backup')).toBeGreaterThanOrEqual(300);
  cos().clearFaults();
  const before = fingerprint(cos(), prefixOf(topic));
  const next = await expectNextRunToFinish(topic, published, files);
  expect(next.summary?.alreadyStored).toBeGreaterThanOrEqual(1);
  expect(fingerprint(cos(), prefixOf(topic))).toEqual(expect.arrayContaining(before));
});

it('a run that is stopped by its deadline is a success, and the next one goes on after it', async () => {
  const files = { FILE_MAX_MESSAGES: '10', RUN_RESERVE_SECONDS: '5' };
  const { topic, published } = await publishedTopic('deadline', 1_500);
  cos().setOnRequest(async (kind) => {
    if (kind === 'put') await setTimeout(300);
  });
  const env = ruleEnv(cos(), broker().serviceUrl, topic, files);
  const stopped = await invoke({ env, timeLimitMs: 10_000 });
  expect(stopped.summary, stopped.output).toMatchObject({ stopReason: 'deadline', alreadyStored: 0 });
  expect(stopped.summary?.durationMs).toBeLessThan(10_000);
  cos().setOnRequest(undefined);
  const messages = stopped.summary?.messages ?? 0;
  expect(messages).toBeGreaterThan(0);
  expect(messages).toBeLessThan(1_500);
  expect(await backlogOf(broker(), topic, 'backup')).toBe(1_500 - messages);
  await expectNextRunToFinish(topic, published, { FILE_MAX_MESSAGES: '500' });
});

it.each(['exclusive', 'failover', 'shared', 'key_shared'])(
  'with RUN_ON_UNREADABLE=fail everything before the bad entry is stored and acknowledged, and nothing twice (%s)',
  async (type) => {
    const { topic, published } = await publishedTopic(`strict-${type}`, 3_000);
    const publisher = await connectPublisher(broker().serviceUrl, undefined);
    const bytes = encodeEntry({ ...ENCRYPTED, publishTime: Date.now() }, Buffer.from('ciphertext'));
    await publisher.publish(topic, [{ bytes, messages: 1, isChunk: false }]);
    await publisher.close();
    const env = {
      PULSAR_SUBSCRIPTION_TYPE: type,
      FILE_MAX_MESSAGES: '1000',
      RUN_ON_UNREADABLE: 'fail',
    };
    for (let runs = 0; runs < 3; runs++) {
      expectFailed(await runOf(topic, env), 'corrupt', 'RUN_ON_UNREADABLE=store');
      expectExactlyOnce(storedFiles(cos(), prefixOf(topic)), topic, published);
      expect(await backlogOf(broker(), topic, 'backup')).toBe(1);
    }
    expect(storedFiles(cos(), prefixOf(topic))).toHaveLength(3);
    const next = await runOf(topic, { ...env, RUN_ON_UNREADABLE: 'store' });
    expect(next.summary, next.output).toMatchObject({ messages: 0, unreadable: 1 });
    expect(await backlogOf(broker(), topic, 'backup')).toBe(0);
  },
);
