// Records test/fixtures/frames anew: what a real broker sends of every command that the driver receives, as it came.
// `npm run corpus` runs it; it needs JDK 17 and Maven.
import { writeFileSync } from 'node:fs';
import { encodeEntry } from '../../src/local/broker/frames.ts';
import type { CommandFields, CommandName } from '../../src/pulsar/wire/protocol/frame.ts';
import { INITIAL_POSITION, SUBSCRIPTION_TYPE } from '../../src/pulsar/wire/protocol/tables.ts';
import { RawClient } from '../local/broker/raw-client.ts';
import { startBroker } from './broker/broker.ts';

const FILE = new URL('../fixtures/frames/pulsar-4.0.7.json', import.meta.url);
const TOPIC = 'persistent://public/default/frames';
const METADATA = { producerName: 'p', publishTime: 1_700_000_000_000, partitionKey: 'k' };

const recorded: { command: string; frame: string }[] = [];

/** Waits for a command, and keeps its frame. */
async function keep<N extends CommandName>(client: RawClient, name: N): Promise<CommandFields<N>> {
  const command = await client.take(name);
  recorded.push({ command: name, frame: command.frame.toString('hex') });
  return command;
}

async function succeed(client: RawClient): Promise<void> {
  await client.until(
    () => client.received.some(({ name }) => name === 'success' || name === 'error') || client.isClosed,
  );
  const refusal = client.received.find(({ name }) => name === 'error');
  if (refusal !== undefined) throw new Error(`refused: ${refusal.fields['message']}`);
  await client.take('success');
}

const broker = await startBroker({
  auth: true,
  extraConf: {
    authenticationRefreshCheckSeconds: '1',

    transactionCoordinatorEnabled: 'true',
  },
});
try {
  await broker.admin('PUT', 'persistent/public/default/frames-parts/partitions', 3);
  await broker.admin('PUT', 'persistent/public/default/frames');
  await broker.admin('PUT', 'persistent/public/default/frames-end');
  const client = await RawClient.open(broker, { protocolVersion: 21, token: broker.token('admin') });
  await keep(client, 'connected');
  let requestId = 100;
  const ask = async <N extends CommandName, A extends CommandName>(
    name: N,
    fields: CommandFields<N>,
    answer: A,
  ) => {
    client.send(name, { ...fields, requestId: ++requestId });
    return keep(client, answer);
  };
  await ask('partitionMetadata', { topic: `${TOPIC}-parts` }, 'partitionMetadataResponse');
  await ask('lookupTopic', { topic: TOPIC }, 'lookupTopicResponse');
  await ask('producer', { topic: TOPIC, producerId: 7, producerName: 'p' }, 'producerSuccess');
  const subscribe = { topic: TOPIC, subscription: 's', consumerId: 9, consumerName: 'c' };
  const subType = SUBSCRIPTION_TYPE.Failover;
  const initialPosition = INITIAL_POSITION.Earliest;
  client.send('subscribe', { ...subscribe, subType, initialPosition, requestId: ++requestId });
  await succeed(client);
  await keep(client, 'activeConsumerChange');
  const entry = encodeEntry({ ...METADATA, sequenceId: 0 }, Buffer.from('hello'));
  client.send('send', { producerId: 7, sequenceId: 0, numMessages: 1 }, entry);
  await keep(client, 'sendReceipt');
  client.send('flow', { consumerId: 9, messagePermits: 10 });
  const { messageId } = await keep(client, 'message');
  await ask('consumerStats', { consumerId: 9 }, 'consumerStatsResponse');
  await ask('getLastMessageId', { consumerId: 9 }, 'getLastMessageIdResponse');
  await ask('ack', { consumerId: 9, ackType: 1, messageId: messageId && [messageId] }, 'ackResponse');
  await ask('getTopicsOfNamespace', { namespace: 'public/default', mode: 0 }, 'getTopicsOfNamespaceResponse');
  await ask('addSubscriptionToTxn', { txnidMostBits: 3, txnidLeastBits: 4 }, 'addSubscriptionToTxnResponse');
  await ask('getLastMessageId', { consumerId: 99 }, 'error');
  await ask('closeConsumer', { consumerId: 99 }, 'success');
  client.send('ping', {});
  await keep(client, 'pong');
  client.send('subscribe', {
    ...subscribe,
    subType,
    consumerId: 10,
    topic: `${TOPIC}-end`,
    requestId: ++requestId,
  });
  await succeed(client);
  await broker.admin('POST', 'persistent/public/default/frames-end/terminate');
  await keep(client, 'reachedEndOfTopic');
  await broker.admin('PUT', 'persistent/public/default/frames/unload');
  await keep(client, 'closeProducer');
  await keep(client, 'closeConsumer');
  client.answersPing = false;
  await keep(client, 'ping');
  client.send('producer', { topic: TOPIC, producerId: 8, producerName: 'p', requestId: ++requestId });
  await client.take('producerSuccess');
  const broken = Buffer.from(entry);
  broken[2] = (broken[2] as number) ^ 0xff;
  client.send('send', { producerId: 8, sequenceId: 1, numMessages: 1 }, broken);
  await keep(client, 'sendError');
  client.close();
  const expiring = broker.token('admin', Math.ceil(Date.now() / 1_000) + 2);
  const other = await RawClient.open(broker, { protocolVersion: 21, token: expiring });
  await keep(other, 'authChallenge');
  other.close();
} finally {
  await broker.stop();
}
writeFileSync(FILE, `${JSON.stringify(recorded, null, 1)}\n`);
