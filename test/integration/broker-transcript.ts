// Asks a broker the same questions on a bare socket and writes down the answers, without what may differ between two
// brokers: texts, addresses, ledger ids (numbered as they come), rates.

import { encodeEntry } from '../../src/local/broker/frames.ts';
import type { CommandFields, CommandName } from '../../src/pulsar/wire/protocol/frame.ts';
import { INITIAL_POSITION, SUBSCRIPTION_TYPE } from '../../src/pulsar/wire/protocol/tables.ts';
import { MINUS_ONE, RawClient } from '../local/broker/raw-client.ts';
import { encodeMessages } from '../stand-ins/broker/publish.ts';

interface Place {
  readonly serviceUrl: string;
  readonly httpUrl: string;
}

const NAMESPACE = 'persistent://public/default';

/** What `place` answers, step by step. Makes topics that begin with `transcript-`. */
export async function transcribe(place: Place): Promise<Record<string, unknown>> {
  const seen: Record<string, unknown> = {};
  const ledgers = new Map<unknown, string>();
  const client = await RawClient.open(place, { protocolVersion: 19 });
  let requestId = 1;

  const plain = (fields: object): unknown =>
    Object.fromEntries(
      Object.entries(fields)
        .filter(
          ([name]) =>
            !/^(message|rest|frame|requestId|address|connectedSince|highestSequenceId|.*Url|.*Rate.*|.*Throughput.*)$/.test(
              name,
            ),
        )
        .map(([name, value]) => {
          if (name === 'ledgerId' && value !== MINUS_ONE) {
            if (!ledgers.has(value)) ledgers.set(value, `ledger ${ledgers.size + 1}`);
            return [name, ledgers.get(value)];
          }
          return [name, value?.constructor === Object ? plain(value) : value];
        }),
    );
  const write = (step: string, fields: object) => {
    seen[step] = plain(fields);
  };
  /** Sends a command and writes its answer down; an ERROR is an answer too. */
  const ask = async <N extends CommandName>(step: string, name: N, fields: CommandFields<N>) => {
    client.send(name, { ...fields, requestId: ++requestId });
    const isAnswer = (command: { fields: Record<string, unknown> }) =>
      command.fields['requestId'] === requestId;
    await client.until(() => client.received.some(isAnswer) || client.isClosed);
    const at = client.received.findIndex(isAnswer);
    const [answer] = client.received.splice(at, 1);
    if (answer === undefined) throw new Error(`${step}: the connection ended`);
    write(step, { command: answer.name, ...answer.fields });
    return answer.fields;
  };
  const subscribe = (
    step: string,
    topic: string,
    type: keyof typeof SUBSCRIPTION_TYPE,
    fields: CommandFields<'subscribe'> = {},
  ) =>
    ask(step, 'subscribe', {
      topic: `${NAMESPACE}/${topic}`,
      subscription: 's',
      subType: SUBSCRIPTION_TYPE[type],
      consumerId: 0,
      initialPosition: INITIAL_POSITION.Earliest,
      ...fields,
    });
  /** Messages until `count` entries have come. */
  const messages = async (step: string, count: number) => {
    const found = [];
    while (found.length < count) found.push(await client.take('message'));
    seen[step] = found.map(plain);
    return found.map(({ messageId }) => ({
      ledgerId: Number(messageId?.ledgerId),
      entryId: Number(messageId?.entryId),
    }));
  };
  const nothingMore = async (step: string, name: CommandName) => {
    seen[step] = (await client.drain(name)).map(plain);
  };
  const publish = async (topic: string, entries: Buffer[]) => {
    const producerId = ++requestId;
    await ask(`producer on ${topic}`, 'producer', {
      topic: `${NAMESPACE}/${topic}`,
      producerId,
      producerName: 'p',
    });
    for (const [sequenceId, entry] of entries.entries()) {
      client.send('send', { producerId, sequenceId, numMessages: 1 }, entry);
      write(`receipt ${sequenceId} on ${topic}`, { ...(await client.take('sendReceipt')), producerId: 0 });
    }
    await ask(`producer on ${topic} closed`, 'closeProducer', { producerId });
  };
  const http = async (step: string, method: string, path: string, body?: string) => {
    const response = await fetch(`${place.httpUrl}${path}`, {
      method,
      ...(body === undefined ? {} : { body, headers: { 'content-type': 'application/json' } }),
    });
    const text = await response.text();
    const keys = text.startsWith('{') && response.ok ? Object.keys(JSON.parse(text)).sort() : [];
    seen[step] = { status: response.status, keys };
    return text;
  };

  write('connected', { ...(await client.take('connected')), serverVersion: '', featureFlags: {} });

  const admin = '/admin/v2/persistent';
  await http('make a partitioned topic', 'PUT', `${admin}/public/default/transcript-parts/partitions`, '3');
  await http('make it again', 'PUT', `${admin}/public/default/transcript-parts/partitions`, '3');
  await http('make a plain topic', 'PUT', `${admin}/public/default/transcript-1`);
  const partitions = await http('partitions', 'GET', `${admin}/public/default/transcript-parts/partitions`);
  seen['number of partitions'] = JSON.parse(partitions).partitions;
  await http('partitions of a plain topic', 'GET', `${admin}/public/default/transcript-1/partitions`);
  await http('partitions of no topic', 'GET', `${admin}/public/default/transcript-none/partitions`);
  await http(
    'partitions of what may be made',
    'GET',
    `${admin}/public/default/transcript-none/partitions?checkAllowAutoCreation=true`,
  );
  await http('partitions in no namespace', 'GET', `${admin}/public/none/t/partitions`);
  await http('partitions in no tenant', 'GET', `${admin}/none/none/t/partitions`);
  await http('lookup', 'GET', '/lookup/v2/topic/persistent/public/default/transcript-1');
  await http('lookup in no namespace', 'GET', '/lookup/v2/topic/persistent/public/none/t');
  await http(
    'make a subscription',
    'PUT',
    `${admin}/public/default/transcript-parts/subscription/s`,
    '"earliest"',
  );
  await http(
    'make it once more',
    'PUT',
    `${admin}/public/default/transcript-parts/subscription/s`,
    '"earliest"',
  );
  // Without a subscription that holds them, Pulsar forgets the entries that the others have acknowledged.
  await http('keep all', 'PUT', `${admin}/public/default/transcript-1/subscription/keeper`, '"earliest"');
  await http('stats of no topic', 'GET', `${admin}/public/default/transcript-none/stats`);
  await http('delete a subscription', 'DELETE', `${admin}/public/default/transcript-parts/subscription/s`);
  await http('delete no subscription', 'DELETE', `${admin}/public/default/transcript-parts/subscription/s`);

  for (const topic of [
    'public/default/transcript-parts',
    'public/default/transcript-1',
    'public/none/t',
    'none/none/t',
  ]) {
    await ask(`metadata of ${topic}`, 'partitionMetadata', { topic: `persistent://${topic}` });
  }
  await ask('metadata of no topic', 'partitionMetadata', {
    topic: `${NAMESPACE}/transcript-none`,
    metadataAutoCreationEnabled: false,
  });
  await ask('lookup by command', 'lookupTopic', { topic: `${NAMESPACE}/transcript-1` });
  await ask('lookup by command in no namespace', 'lookupTopic', { topic: 'persistent://public/none/t' });

  await subscribe('a topic that is not there', 'transcript-none', 'Exclusive', { forceTopicCreation: false });
  await subscribe('a namespace that is not there', 'x', 'Exclusive', { topic: 'persistent://public/none/t' });
  await ask('the last id of no consumer', 'getLastMessageId', { consumerId: 99 });
  await ask('closing no consumer', 'closeConsumer', { consumerId: 99 });
  await ask('seeking with no consumer', 'seek', { consumerId: 99, messageId: { ledgerId: 1, entryId: 1 } });

  // Exclusive
  await subscribe('exclusive', 'transcript-1', 'Exclusive', { consumerName: 'c' });
  await ask('the last id of an empty topic', 'getLastMessageId', { consumerId: 0 });
  await ask('statistics at first', 'consumerStats', { consumerId: 0 });
  await subscribe('a second exclusive', 'transcript-1', 'Exclusive', { consumerId: 1 });
  await subscribe('one of another type', 'transcript-1', 'Shared', { consumerId: 2 });
  const [batch] = encodeMessages(
    [1, 2, 3].map((n) => ({ payload: `b${n}` })),
    0,
    { batchSize: 3 },
  ) as [Buffer];
  const alone = encodeEntry(
    { producerName: 'p', sequenceId: 1, publishTime: 1_700_000_000_000 },
    Buffer.from('alone'),
  );
  await publish('transcript-1', [batch, alone, alone, alone, batch]);
  await ask('the last id', 'getLastMessageId', { consumerId: 0 });
  client.flow(1);
  await messages('one permit', 1);
  await nothingMore('one permit, and no more', 'message');
  await ask('permits below zero', 'consumerStats', { consumerId: 0 });
  client.flow(100);
  const [first, second, third] = await messages('a hundred permits', 4);
  if (first === undefined || second === undefined || third === undefined) throw new Error('too few messages');
  client.ack([first], 'Cumulative', 901);
  write('receipt of a cumulative ack', await client.take('ackResponse'));
  client.ack([third], 'Individual', 902);
  write('receipt of a single ack', await client.take('ackResponse'));
  await ask('the mark-delete place', 'getLastMessageId', { consumerId: 0 });
  client.send('redeliverUnacknowledgedMessages', { consumerId: 0 });
  await messages('what comes again', 2);
  await nothingMore('what comes again, and no more', 'message');
  await ask('seek', 'seek', { consumerId: 0, messageId: { ledgerId: first.ledgerId, entryId: 1 } });
  write('after the seek', await client.take('closeConsumer'));
  await subscribe('after the seek, subscribed', 'transcript-1', 'Exclusive');
  client.flow(100);
  await messages('after the seek, delivered', 4);
  await http('unload', 'PUT', `${admin}/public/default/transcript-1/unload`);
  write('after an unload', await client.take('closeConsumer'));
  await ask('lookup after an unload', 'lookupTopic', { topic: `${NAMESPACE}/transcript-1` });
  await subscribe('subscribed after an unload', 'transcript-1', 'Exclusive');
  await ask('the last id after an unload', 'getLastMessageId', { consumerId: 0 });
  client.flow(100);
  await messages('after an unload, delivered', 4);
  await ask('unsubscribe', 'unsubscribe', { consumerId: 0 });
  await nothingMore('nothing after an unsubscribe', 'closeConsumer');

  // Shared
  await subscribe('shared', 'transcript-1', 'Shared');
  client.flow(100);
  const shared = await messages('shared, delivered', 5);
  client.ack(shared.slice(-1), 'Cumulative', 903);
  write('receipt of a cumulative ack on Shared', await client.take('ackResponse'));
  await ask('the mark-delete place after it', 'getLastMessageId', { consumerId: 0 });
  client.ack([shared[0] as typeof first, shared[2] as typeof first], 'Individual', 904);
  await client.take('ackResponse');
  await ask('the mark-delete place after single acks', 'getLastMessageId', { consumerId: 0 });
  await ask('statistics of Shared', 'consumerStats', { consumerId: 0 });
  client.send('redeliverUnacknowledgedMessages', { consumerId: 0, messageIds: [shared[1] as typeof first] });
  await messages('one comes again on Shared', 1);
  await ask('closed', 'closeConsumer', { consumerId: 0 });
  await subscribe('shared again', 'transcript-1', 'Shared');
  client.flow(100);
  await messages('what was left', 3);
  await ask('closed again', 'closeConsumer', { consumerId: 0 });

  await subscribe('shared, the first', 'transcript-1', 'Shared');
  await subscribe('shared, the second', 'transcript-1', 'Shared', { consumerId: 1 });
  client.flow(100);
  await messages('all to the first', 3);
  await ask('the first closed', 'closeConsumer', { consumerId: 0 });
  client.flow(100, 1);
  await messages('all of it to the second', 3);
  await ask('the second closed', 'closeConsumer', { consumerId: 1 });

  // Failover
  await subscribe('failover', 'transcript-1', 'Failover', { subscription: 'f', consumerName: 'a' });
  client.flow(100);
  write('active', await client.take('activeConsumerChange'));
  await messages('failover, delivered', 5);
  await subscribe('failover, another', 'transcript-parts-partition-1', 'Failover', {
    subscription: 'f',
    consumerId: 1,
    consumerName: 'a',
  });
  write('active on partition 1', await client.take('activeConsumerChange'));
  await subscribe('failover, the second', 'transcript-parts-partition-1', 'Failover', {
    subscription: 'f',
    consumerId: 2,
    consumerName: 'b',
  });
  const changes = [await client.take('activeConsumerChange'), await client.take('activeConsumerChange')];
  seen['the second is active on partition 1'] = changes.map(plain);
  await ask('the last id of an empty partition', 'getLastMessageId', { consumerId: 2 });

  // The end of a topic
  const last = (await ask('the last id before the end', 'getLastMessageId', { consumerId: 0 }))[
    'lastMessageId'
  ];
  await http('terminate', 'POST', `${admin}/public/default/transcript-1/terminate`);
  await nothingMore('not told of the end before all is acknowledged', 'reachedEndOfTopic');
  client.ack([last as typeof first], 'Cumulative', 905);
  await client.take('ackResponse');
  write('told of the end', await client.take('reachedEndOfTopic'));
  await ask('a producer on a terminated topic', 'producer', {
    topic: `${NAMESPACE}/transcript-1`,
    producerId: 50,
    producerName: 'p',
  });
  client.close();
  return seen;
}
