// What a partition hands out without waiting: several small entries, but nothing that is large in memory beside others.
import { expect, it } from 'vitest';
import { systemClock } from '../../../src/lib/clock.ts';
import type { Delivery, SourcePartition } from '../../../src/ports.ts';
import { Deliveries, type DeliveriesOptions } from '../../../src/pulsar/wire/deliveries.ts';
import type { StoredEntry } from '../../../src/pulsar/wire/protocol/entry-decoder.ts';
import { ReceiveBudget } from '../../../src/pulsar/wire/receive-budget.ts';
import { messages, openSource, startBroker, TOPIC, take } from './loopback-source.ts';

const MAX_BYTES = 100_000;

/** All deliveries up to the entry that holds `last`, as they came together. */
async function groupsUpTo(partition: SourcePartition, last: string): Promise<string[][]> {
  const groups: string[][] = [];
  while (groups.at(-1)?.at(-1) !== last) {
    const arrived = partition.arrived(MAX_BYTES);
    groups.push((arrived.length > 0 ? arrived : await take(partition, 1)).map(nameOf));
  }
  return groups;
}

const nameOf = (delivery: Delivery): string =>
  delivery.kind === 'entry'
    ? Buffer.from(delivery.messages[0]?.payload as Uint8Array).toString('utf8', 0, 3)
    : delivery.kind;

it('hands out a message of chunks by itself, and a small entry that becomes a large one', async () => {
  const broker = await startBroker();
  broker.createTopic(TOPIC);
  broker.publish(TOPIC, messages(200, 100));
  broker.publish(TOPIC, [{ payload: 'CHU'.repeat(40_000) }], { chunkSizeBytes: 60_000 });
  broker.publish(TOPIC, messages(200, 300));
  broker.publish(TOPIC, [{ payload: 'LZ4'.repeat(40_000) }], { compression: 'lz4' });
  broker.publish(TOPIC, [{ payload: 'end' }]);
  const { first } = await openSource(broker);
  const groups = await groupsUpTo(first, 'end');
  const alone = ['CHU', 'LZ4', 'pending', 'end'];
  for (const group of groups)
    if (group.length > 1) expect(group.filter((name) => alone.includes(name))).toEqual([]);
  expect(groups.flat().filter((name) => alone.includes(name))).toEqual(['pending', 'CHU', 'LZ4', 'end']);
  expect(groups.some((group) => group.length > 10)).toBe(true);
});

it('reports a loss by itself, though entries that came after it are there already', () => {
  const losses = [true];
  const entry = (entryId: number) =>
    ({ id: { ledgerId: 1, entryId }, sizeBytes: 10, permits: 1 }) as unknown as StoredEntry;
  const deliveries = new Deliveries({
    clock: systemClock,
    timings: { activationTimeoutMs: 1_000 },
    budget: new ReceiveBudget(1_000_000, systemClock),
    isOrdered: true,
    link: { isReady: true, failure: undefined, consumer: {} },
    failover: { role: 'active', isDoubtful: false, takeLoss: () => losses.pop() === true },
    positions: { isAtEnd: () => false, wantedEntries: () => 10 },
    reader: { passed: () => undefined, read: ({ id }: StoredEntry) => ({ kind: 'entry', id, messages: [] }) },
  } as unknown as DeliveriesOptions);
  for (const one of [entry(0), entry(1)]) deliveries.push(one);
  expect(deliveries.arrived(1_000)).toEqual([{ kind: 'lost' }]);
  expect(deliveries.arrived(1_000)).toMatchObject([{ id: { entryId: 0 } }, { id: { entryId: 1 } }]);
});
