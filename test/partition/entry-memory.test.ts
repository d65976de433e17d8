// A driver may use the memory of an entry again once it is released: whatever the run does with the entry, it does before.
import { describe, expect, it } from 'vitest';
import { BackupError } from '../../src/errors.ts';
import { systemClock } from '../../src/lib/clock.ts';
import type { Delivery, ReadableEntry, Source, SourcePartition } from '../../src/ports.ts';
import { retryingStore } from '../../src/retrying-store.ts';
import { silentLogger } from '../fakes/loggers.ts';
import {
  createFakeBroker,
  createFakeSource,
  type FakeBroker,
  publish,
  publishUnreadable,
} from '../fakes/memory-source.ts';
import { createMemoryStore } from '../fakes/memory-store.ts';
import { expectAllStoredOnce, runDrain } from '../stage/memory-stage.ts';

/** The entry in memory that is overwritten when it is released. */
function inSharedMemory(entry: ReadableEntry, onRelease: () => void): ReadableEntry {
  const shared: Buffer[] = [];
  const copyOf = <T extends Uint8Array | null>(bytes: T): T => {
    if (bytes === null) return bytes;
    shared.push(Buffer.from(bytes));
    return shared.at(-1) as unknown as T;
  };
  const { kind, id, packed } = entry;
  const messages = entry.messages.map((message) => ({ ...message, payload: copyOf(message.payload) }));
  const release = () => {
    onRelease();
    for (const bytes of shared) bytes.fill('#');
  };
  const own = packed && { packed: { ...packed, bytes: copyOf(packed.bytes) } };
  return { kind, id, messages, ...own, memory: { release } };
}

/** A source whose entries are in such memory, and which of them were released. */
function sharingSource(broker: FakeBroker): { source: Source; released: string[] } {
  const source = createFakeSource(broker);
  const released: string[] = [];
  const share = (partition: SourcePartition): SourcePartition =>
    new Proxy(partition, {
      get(target, name) {
        const value = Reflect.get(target, name, target) as unknown;
        if (typeof value !== 'function') return value;
        const own = (delivery: Delivery): Delivery => {
          if (delivery.kind !== 'entry') return delivery;
          const { ledgerId, entryId } = delivery.id;
          const text = `${partition.partition}: ${ledgerId}:${entryId}`;
          return inSharedMemory(delivery, () => released.push(text));
        };
        if (name === 'arrived') return (maxBytes: number) => target.arrived(maxBytes).map(own);
        if (name !== 'next') return value.bind(target);
        return async (idleMs: number): Promise<Delivery> => own(await target.next(idleMs));
      },
    });
  const open = async () => {
    const partitions = await source.open();
    return partitions === 'busy' ? partitions : partitions.map(share);
  };
  return { source: { driver: 'fake', open, close: () => source.close() }, released };
}

describe('the memory of an entry', () => {
  it.each([
    ['none', 5_000, 0],
    ['none', 3, 0],
    ['gzip', 5_000, 0],
    ['gzip', 3, 0],
    ['none', 5_000, 9],
    ['none', 3, 9],
    ['gzip', 5_000, 9],
    ['gzip', 3, 9],
  ] as const)(
    'is released once, when its records (%s, %i messages) are in files, though %i more arrive with each',
    async (compression, maxMessages, arrivals) => {
      const broker = createFakeBroker(2);
      broker.arrivals = () => arrivals;
      for (let i = 0; i < 40; i++) {
        for (const partition of broker.partitions)
          publish(partition, [`${partition.partition}+${i}`.padEnd(300, 'é')]);
      }
      for (let i = 0; i < 40; i++) {
        for (const partition of broker.partitions) {
          const sizes = i % 20 === 0 ? [900_000, 2_100_000, 3_000_000] : [1, 70_000, 500];
          publish(
            partition,
            sizes.slice(i % 3).map((size, j) => `${partition.partition}-${i}-${j}`.padEnd(size, `é${i}`)),
          );
        }
      }
      for (const partition of broker.partitions) publishUnreadable(partition);
      const { source, released } = sharingSource(broker);
      const store = createMemoryStore();
      // Each store call fails once: what is sent again is as it was.
      const failed = new Set<string>();
      store.hook = (when, call, key) => {
        if (when !== 'before' || failed.has(`${call} ${key}`)) return;
        failed.add(`${call} ${key}`);
        throw new BackupError('store', 'the call was cut', { retryable: true });
      };
      const limits = { maxMessages, maxBytes: 20_000_000 };
      const clock = { ...systemClock, sleep: async () => undefined };
      const retrying = retryingStore(store, { clock, logger: silentLogger });
      const result = await runDrain(broker, retrying, { source, limits, compression });
      expect(result.failure).toBeUndefined();
      expectAllStoredOnce(broker, store);
      expect(released).toHaveLength(160);
      expect(new Set(released).size).toBe(160);
    },
  );
});
