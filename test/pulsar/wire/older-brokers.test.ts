// What older brokers do not know, refuse, or would create.
import { expect, it } from 'vitest';
import { SERVER_ERROR } from '../../../src/pulsar/wire/protocol/tables.ts';
import {
  createSource,
  failureOf,
  ids,
  messages,
  openSource,
  startBroker,
  TOPIC,
  take,
} from './loopback-source.ts';

async function oldBroker(partitions?: number) {
  const broker = await startBroker();
  broker.faults.protocolVersion = 15;
  const seen: string[] = [];
  broker.onCommand((name) => {
    seen.push(name);
    return undefined;
  });
  if (partitions !== undefined) broker.createTopic(TOPIC, partitions);
  return { broker, seen };
}

it('a missing topic is looked for in the list, and not asked for, because that would create it', async () => {
  const { broker, seen } = await oldBroker();
  broker.createTopic(`${TOPIC}-partition-x`, 0);
  const failure = await failureOf(createSource(broker).open() as Promise<unknown>);
  expect(failure).toMatchObject({
    code: 'source',
    retryable: false,
    hint: expect.stringContaining('PULSAR_TOPIC'),
    details: { serverError: 'TopicNotFound' },
  });
  expect(seen).toEqual(['connect', 'getTopicsOfNamespace']);
});

it.each([0, 3])('a topic of %i partitions is found in the list', async (partitions) => {
  const { broker } = await oldBroker(partitions);
  const { partitions: opened } = await openSource(broker);
  expect(opened).toHaveLength(Math.max(1, partitions));
});

it('a rule whose role may not see the list goes on', async () => {
  const { broker } = await oldBroker(2);
  broker.onCommand((name) =>
    name === 'getTopicsOfNamespace' ? { error: SERVER_ERROR.AuthorizationError, message: 'no' } : undefined,
  );
  const { partitions } = await openSource(broker);
  expect(partitions).toHaveLength(2);
});

it('a broker that takes the question for a question is not asked for the list', async () => {
  const broker = await startBroker();
  broker.createTopic(TOPIC, 0);
  const seen: string[] = [];
  broker.onCommand((name) => {
    seen.push(name);
    return undefined;
  });
  await openSource(broker);
  expect(seen).not.toContain('getTopicsOfNamespace');
});

/** As 2.7 has it where the ledger of the last message is deleted. */
const noLedger = {
  error: SERVER_ERROR.MetadataError,
  message: 'Failed to get batch size for entry: No such ledger exists on Metadata Server',
};

it.each(['exclusive', 'shared'] as const)(
  '%s: without a last message id a run drains what there is, and nothing where nothing is left',
  async (subscriptionType) => {
    const { broker } = await oldBroker(0);
    broker.onCommand((name) => (name === 'getLastMessageId' ? noLedger : undefined));
    const { first, source } = await openSource(broker, { subscriptionType });
    expect(first.end).toBeNull();
    await source.close();
    broker.publish(TOPIC, messages(4));
    const { first: again } = await openSource(broker, { subscriptionType });
    expect(again.end).toBe('unknown');
    await again.acknowledge(ids(await take(again, 4)));
    expect(await again.next(50)).toEqual({ kind: 'idle' });
    expect(await again.backlog()).toEqual({ entries: 0 });
  },
);
