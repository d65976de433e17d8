// What a partition hands out is in memory that its connection uses again for what comes next: not before it is released.
import { expect, it } from 'vitest';
import type { ReadableEntry, SourcePartition } from '../../../src/ports.ts';
import { openSource, startBroker, TOPIC, take, texts } from './loopback-source.ts';

const COUNT = 150;
/** Of each other sizes, and no two alike. */
const payloadOf = (name: string, n: number) => `${name}-${n} `.repeat(1 + ((n * 37) % 50) * 250);
const bufferOf = ({ messages: [first] }: ReadableEntry) => first?.payload?.buffer;

it('hands out every entry as it was published, and in memory that was released before', async () => {
  const broker = await startBroker();
  broker.createTopic(TOPIC, 2);
  for (const n of [0, 1]) {
    const sent = Array.from({ length: COUNT }, (_, i) => ({ payload: payloadOf(`p${n}`, i) }));
    broker.publish(`${TOPIC}-partition-${n}`, sent);
  }
  const { partitions } = await openSource(broker, { receiveBudgetBytes: 2 * 1_048_576 });
  const memories = new Set<unknown>();
  // One partition is read far behind the other, whose entries come over the same connection.
  const slow: ReadableEntry[] = [];
  for (let i = 0; i < COUNT; i++) {
    const [first] = await take(partitions[0] as SourcePartition, 1);
    expect(texts([first as ReadableEntry])).toEqual([payloadOf('p0', i)]);
    first?.memory?.release();
    if (i % 5 === 0) slow.push(...(await take(partitions[1] as SourcePartition, 1)));
    expect(texts(slow)).toEqual(slow.map((_, n) => payloadOf('p1', n)));
  }
  for (const { memory } of slow) memory?.release();
  for (let i = slow.length; i < COUNT; i++) {
    const [next] = await take(partitions[1] as SourcePartition, 1);
    expect(texts([next as ReadableEntry])).toEqual([payloadOf('p1', i)]);
    memories.add(bufferOf(next as ReadableEntry));
    next?.memory?.release();
  }
  expect(memories.size).toBeLessThan(COUNT / 5);
});
