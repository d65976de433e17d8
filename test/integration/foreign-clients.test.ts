// What the official Java, Go and Python clients publish today, record by record against what the official Java client
// reads of it: each codec, each kind of entry. The corpus in test/fixtures/entries is the same, recorded.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { decodeRecord, encodeRecord } from '../../src/format/record.ts';
import { asRead } from '../pulsar/wire/corpus.ts';
import { CHUNKED_MAX_BYTES, casesOf } from './foreign/cases.ts';
import { publishCases, type ReadMessage, readWithJava } from './foreign/clients.ts';
import { useBroker } from './use-broker.ts';
import { drainPartition, openPartitions, wireSource } from './wire-drain.ts';

const ALL = (['java', 'go', 'python'] as const).flatMap(casesOf);

describe.each([
  ['entries', {}, ALL.filter(({ kind }) => kind !== 'chunked')],
  ['chunks', { maxMessageSize: String(CHUNKED_MAX_BYTES) }, ALL.filter(({ kind }) => kind === 'chunked')],
] as const)('%s of official clients', (_, extraConf, cases) => {
  const broker = useBroker({ extraConf });
  const read = new Map<string, ReadMessage[]>();
  beforeAll(async () => {
    await publishCases(broker(), cases);
    const topics = cases.map(({ topic }) => topic);
    for (const one of await readWithJava(broker().serviceUrl, topics))
      read.set(one.topic, [...(read.get(one.topic) ?? []), one]);
    // The first time the Go client is built.
  }, 600_000);
  afterAll(() => read.clear());

  it.each(cases.map((one) => [one.name, one] as const))(
    'of %s become the records that Java reads',
    async (__, one) => {
      const source = wireSource({ serviceUrl: broker().serviceUrl, topic: one.topic });
      try {
        const [partition] = await openPartitions(source);
        if (partition === undefined) throw new Error('the topic has no partition');
        const messages = await drainPartition(partition);
        const records = messages.map((message) => decodeRecord(encodeRecord(message)));
        expect(messages).toHaveLength(one.messages.length);
        expect(records.map(asRead)).toEqual(read.get(one.topic));
      } finally {
        await source.close();
      }
    },
  );
});
