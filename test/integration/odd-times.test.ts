// Times that no clock should tell on a real broker: published by our own producer under a clock that is astray, read by
// the official Java client and by a source of ours.
import { expect, it } from 'vitest';
import { decodeRecord, encodeRecord } from '../../src/format/record.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { createWirePublisher } from '../../src/pulsar/wire/producer-publisher.ts';
import { createTopic } from './broker/topics.ts';
import { readWithJava } from './foreign/clients.ts';
import { useBroker } from './use-broker.ts';
import { drainPartition, openPartitions, wireSource } from './wire-drain.ts';

const broker = useBroker();
const NOW_MS = Date.now();
const ODD = [-1, -86_400_000, Date.UTC(10_000, 0), 2 ** 53 - 1, 2n ** 53n, 2n ** 63n - 1n, -(2n ** 63n)];

it.each([true, false])('are read as the official client reads them (in batches: %s)', async (batching) => {
  const topic = await createTopic(broker(), `odd-times-${batching}`);
  const config = {
    serviceUrl: broker().serviceUrl,
    token: undefined,
    tlsCaFile: undefined,
    listenerName: undefined,
  };
  const expected: (readonly [publishTimeMs: number | bigint, eventTimeMs: number | bigint])[] = [];
  for (const publishTimeMs of [NOW_MS, ...ODD]) {
    const clock = { ...systemClock, now: () => publishTimeMs as number };
    const publisher = createWirePublisher({
      config: config as never,
      clock,
      signal: new AbortController().signal,
    });
    const options = { compression: 'none', batching, windowBytes: 1_000_000, mayRepeat: false } as const;
    const producer = await publisher.open(topic, `p-${publishTimeMs}`, options);
    for (const [sequenceId, eventTimeMs] of [NOW_MS, ...ODD].entries()) {
      const payload = Buffer.from(String(eventTimeMs));
      await producer.send({
        sequenceId,
        eventTimeMs,
        payload,
        properties: [],
        key: 'k',
        orderingKey: undefined,
      });
      expected.push([publishTimeMs, eventTimeMs]);
    }
    await producer.flush();
    await publisher.close();
  }

  const source = wireSource({ serviceUrl: broker().serviceUrl, topic });
  const [partition] = await openPartitions(source);
  if (partition === undefined) throw new Error('the topic has no partition');
  const messages = await drainPartition(partition);
  await source.close();
  const records = messages.map((message) => decodeRecord(encodeRecord(message)));
  expect(records.map((one) => [one.publishTimeMs, one.eventTimeMs])).toEqual(expected);
  const read = await readWithJava(broker().serviceUrl, [topic]);
  expect(read.map((one) => [one.publishTimeMs, one.eventTimeMs])).toEqual(
    expected.map((pair) => pair.map(Number)),
  );
});
