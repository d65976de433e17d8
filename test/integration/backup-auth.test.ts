// Token authentication against a real broker: who may, who may not, and that no token is ever printed.
import { randomBytes } from 'node:crypto';
import { beforeAll, describe, expect, it } from 'vitest';
import { expectExactlyOnce, objectsUnder, storedFiles } from './archive-under-test.ts';
import { signToken } from './broker/token.ts';
import { backlogOf, createSubscription, createTopic } from './broker/topics.ts';
import { type Invocation, invoke } from './invoke.ts';
import { type PublishedMessage, publish } from './python-clients.ts';
import { useBroker } from './use-broker.ts';
import { prefixOf, ruleEnv, SECRETS, useCos } from './use-cos.ts';

const broker = useBroker({ auth: true });
const cos = useCos();
/** The one thing that a rule needs: no right to publish, none to administer. */
const ROLE = 'backup-reader';

beforeAll(async () => {
  await broker().admin('POST', `namespaces/public/default/permissions/${ROLE}`, ['consume']);
});

async function publishedTopic(name: string): Promise<{ topic: string; published: PublishedMessage[] }> {
  const topic = await createTopic(broker(), name, 2);
  await createSubscription(broker(), topic, 'backup');
  const token = broker().adminToken as string;
  return {
    topic,
    published: await publish(broker().serviceUrl, { topic, count: 50, batching: false, token }),
  };
}

const runWith = (topic: string, token: string | undefined, serviceUrl: string) =>
  invoke({ env: ruleEnv(cos(), serviceUrl, topic, token === undefined ? {} : { PULSAR_TOKEN: token }) });

/** Failed in time, with a hint, with nothing stored, nothing acknowledged and no secret printed. */
async function expectRefused(
  invocation: Invocation,
  topic: string,
  token: string | undefined,
): Promise<void> {
  expect(invocation.summary).toBeUndefined();
  expect(invocation.durationMs).toBeLessThan(30_000);
  expect(invocation.thrown).toMatchObject({ name: 'BackupError', code: 'source' });
  expect(invocation.logs.at(-1)).toMatchObject({ level: 'error', message: 'run failed' });
  expect(invocation.logs.at(-1)?.['hint']).toBe(invocation.thrown?.hint);
  expect(objectsUnder(cos(), prefixOf(topic))).toEqual([]);
  expect(await backlogOf(broker(), topic, 'backup')).toBe(50);
  const told = `${invocation.output}${JSON.stringify(invocation.thrown)}`;
  const parts = token === undefined ? [] : [token, ...token.split('.').slice(1)];
  for (const secret of [...parts, SECRETS.secretId, SECRETS.secretKey, SECRETS.sessionToken]) {
    expect(told).not.toContain(secret);
  }
}

describe.each(['pulsar://', 'http://'])('on a broker with token authentication, over %s', (scheme) => {
  const serviceUrl = () => (scheme === 'http://' ? broker().httpUrl : broker().serviceUrl);
  const name = (what: string) => `${what}-${scheme.replace('://', '')}`;

  it('a role that may consume, and no more, is enough', async () => {
    const { topic, published } = await publishedTopic(name('right'));
    const token = broker().token(ROLE);
    const invocation = await runWith(topic, token, serviceUrl());
    expect(invocation.summary, invocation.output).toMatchObject({ messages: 50, stopReason: 'caught_up' });
    expectExactlyOnce(storedFiles(cos(), prefixOf(topic)), topic, published);
    expect(await backlogOf(broker(), topic, 'backup')).toBe(0);
    expect(invocation.output).not.toContain(token);
  });

  it('a token of another key fails the run within 30 s, and says to check the token', async () => {
    const { topic } = await publishedTopic(name('forged'));
    const token = signToken(ROLE, randomBytes(32));
    const invocation = await runWith(topic, token, serviceUrl());
    await expectRefused(invocation, topic, token);
    expect(invocation.thrown?.hint).toMatch(/PULSAR_TOKEN/);
  });

  it('a role without a grant on the namespace fails the run, and the hint names the grant', async () => {
    const { topic } = await publishedTopic(name('stranger'));
    const token = broker().token('stranger');
    const invocation = await runWith(topic, token, serviceUrl());
    await expectRefused(invocation, topic, token);
    expect(invocation.thrown?.hint).toMatch(/consume/i);
  });

  it('no token at all fails the run, and the hint names the variable', async () => {
    const { topic } = await publishedTopic(name('none'));
    const invocation = await runWith(topic, undefined, serviceUrl());
    await expectRefused(invocation, topic, undefined);
    expect(invocation.thrown?.hint).toMatch(/PULSAR_TOKEN/);
  });
});
