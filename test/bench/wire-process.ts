// The wire driver alone: receives, decodes and acknowledges in steps of 5000 messages, and writes nothing.

import { parseConfig } from '../../src/config.ts';
import { systemClock } from '../../src/lib/clock.ts';
import type { EntryId, SourcePartition } from '../../src/ports.ts';
import { createSource } from '../../src/pulsar/create-source.ts';
import { reportMeasurement } from './measurement.ts';

const MESSAGES_PER_ACK = 5_000;
const nothing = () => undefined;

void reportMeasurement(async () => {
  const source = await createSource({
    config: parseConfig(process.env).pulsar,
    receiveBudgetBytes: 32 * 1_048_576,
    clock: systemClock,
    logger: { debug: nothing, info: nothing, warn: nothing, error: nothing },
  });
  const partitions = await source.open();
  if (partitions === 'busy') throw new Error('somebody else reads the subscription');
  const counts = await Promise.all(partitions.map(drainPartition));
  await source.close();
  return { messages: counts.reduce((sum, count) => sum + count, 0) };
});

async function drainPartition(partition: SourcePartition): Promise<number> {
  const { end } = partition;
  if (end === null || end === 'unknown') return 0;
  let messages = 0;
  let open: EntryId[] = [];
  let openMessages = 0;
  for (;;) {
    const delivery = await partition.next(30_000);
    if (delivery.kind !== 'entry') throw new Error(`the broker sent ${delivery.kind} instead of an entry`);
    messages += delivery.messages.length;
    openMessages += delivery.messages.length;
    open.push(delivery.id);
    const isLast = delivery.id.ledgerId === end.ledgerId && delivery.id.entryId >= end.entryId;
    if (openMessages < MESSAGES_PER_ACK && !isLast) continue;
    await partition.acknowledge(open);
    if (isLast) return messages;
    open = [];
    openMessages = 0;
  }
}
