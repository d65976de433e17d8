import { expect, it } from 'vitest';
import type { SourcePartition } from '../../../src/ports.ts';
import { SCHEMA_TYPE, SERVER_ERROR } from '../../../src/pulsar/wire/protocol/tables.ts';
import type { LoopbackBroker } from '../../stand-ins/broker/broker.ts';
import { openSource, startBroker, TOPIC, take, texts } from './loopback-source.ts';

const AVRO = {
  type: SCHEMA_TYPE.AVRO,
  schemaData: Buffer.from('{"type":"int"}'),
  properties: [{ key: Buffer.from('a'), value: Buffer.from([0xff]) }],
};
const V0 = Buffer.alloc(8);
const V1 = Buffer.from([0, 0, 0, 0, 0, 0, 0, 1]);

async function brokerWithTopic(partitions = 0): Promise<LoopbackBroker> {
  const broker = await startBroker();
  broker.createTopic(TOPIC, partitions);
  broker.registerSchema(TOPIC, AVRO);
  broker.publish(TOPIC, [{ payload: 'm0' }, { payload: 'm1' }]);
  return broker;
}

/** The requests for schemas, with the connections that they came over. */
function watch(
  broker: LoopbackBroker,
  answer?: (nth: number) => 'drop' | 'close' | { error: number } | undefined,
) {
  const asked: { connectionId: number; version: string }[] = [];
  broker.onCommand((name, fields, connectionId) => {
    if (name !== 'getSchema') return undefined;
    asked.push({ connectionId, version: Buffer.from(fields['schemaVersion']).toString('hex') });
    return answer?.(asked.length);
  });
  return asked;
}

it.each(['pulsar', 'http'] as const)(
  'gives a schema with every byte, by a look-up over %s://',
  async (scheme) => {
    const broker = await brokerWithTopic();
    const { first } = await openSource({
      serviceUrl: scheme === 'http' ? broker.httpUrl : broker.serviceUrl,
    });
    expect(await first.schema(V0)).toEqual({
      kind: 'schema',
      schema: {
        type: 'AVRO',
        name: 'public/default/orders',
        properties: [['a', Buffer.from([0xff])]],
        definition: AVRO.schemaData,
      },
    });
  },
);

it('asks once for a version, whatever partitions want it, and not on the connection of the entries', async () => {
  const broker = await brokerWithTopic(5);
  const asked = watch(broker);
  const { partitions } = await openSource(broker);
  const answers = await Promise.all([...partitions, ...partitions].map((one) => one.schema(V0)));
  expect(answers.map(({ kind }) => kind)).toEqual(Array.from({ length: 10 }, () => 'schema'));
  expect(asked).toHaveLength(1);
  const consumers = broker.consumers().map(({ connectionId }) => connectionId);
  expect(consumers).not.toContain(asked[0]?.connectionId);
});

it('asks again once a consumer had to subscribe again: the topic may be another one', async () => {
  const broker = await brokerWithTopic();
  const asked = watch(broker);
  const { first } = await openSource(broker);
  await first.schema(V0);
  broker.unload(TOPIC);
  await take(first, 1);
  expect((await first.schema(V0)).kind).toBe('schema');
  expect(asked).toHaveLength(2);
});

it.each([
  ['a type without a name', { type: 99 }, 'TYPE_99'],
  ['no type', {}, 'NONE'],
])('names %s', async (_, schema, type) => {
  const broker = await brokerWithTopic();
  broker.onAnswer((name, fields) => {
    if (name === 'getSchemaResponse') Object.assign(fields, { schema });
    return undefined;
  });
  const { first } = await openSource(broker);
  const properties = { name: '', properties: [], definition: Buffer.alloc(0) };
  expect(await first.schema(V0)).toEqual({ kind: 'schema', schema: { type, ...properties } });
});

it.each([
  ['there is no such version', V1, undefined, 'the broker has no such schema'],
  ['the role may not', V0, { error: SERVER_ERROR.AuthorizationError }, 'AuthorizationError'],
  ['the broker cannot just now, twice', V0, { error: SERVER_ERROR.MetadataError }, 'MetadataError'],
  ['the broker ends the connection', V0, 'close', 'closed the connection'],
] as const)(
  'says why a schema cannot be had where %s, and goes on reading',
  async (_, version, outcome, reason) => {
    const broker = await brokerWithTopic();
    watch(broker, () => outcome);
    const { first } = await openSource(broker);
    const unknown = await first.schema(version);
    expect(unknown).toMatchObject({ kind: 'unknown', reason: expect.stringContaining(reason) });
    expect(texts(await take(first, 2))).toEqual(['m0', 'm1']);
  },
);

it.each(['close', { error: SERVER_ERROR.ServiceNotReady }] as const)(
  'asks a second time where the first may pass: %j',
  async (outcome) => {
    const broker = await brokerWithTopic();
    watch(broker, (nth) => (nth === 1 ? outcome : undefined));
    const { first } = await openSource(broker);
    expect((await first.schema(V0)).kind).toBe('schema');
  },
);

it('asks a broker that answers nothing no more, and a role that may not nothing more', async () => {
  for (const [outcome, mostAsked] of [
    ['drop', 6],
    [{ error: SERVER_ERROR.AuthorizationError }, 1],
  ] as const) {
    const broker = await brokerWithTopic();
    const asked = watch(broker, () => outcome);
    const timings = outcome === 'drop' ? { operationTimeoutMs: 300 } : {};
    const { first } = await openSource(broker, { timings });
    for (let n = 0; n < 8; n++)
      expect((await first.schema(Buffer.from([0, 0, 0, 0, 0, 0, 0, n]))).kind).toBe('unknown');
    expect(asked.length).toBe(mostAsked);
  }
});

it('takes no schema of another version than the one it asked for', async () => {
  const broker = await brokerWithTopic();
  broker.onAnswer((name, fields) => {
    if (name === 'getSchemaResponse') Object.assign(fields, { schemaVersion: V1 });
    return undefined;
  });
  const { first } = await openSource(broker);
  expect(await first.schema(V0)).toMatchObject({ reason: expect.stringContaining('another version') });
});

it('does not ask a broker that does not know the question', async () => {
  const broker = await brokerWithTopic();
  broker.faults.protocolVersion = 12;
  const asked = watch(broker);
  const { first } = await openSource(broker);
  const unknown = await (first as SourcePartition).schema(V0);
  expect(unknown).toMatchObject({ reason: expect.stringContaining('too old') });
  expect(asked).toEqual([]);
});
