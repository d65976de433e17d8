// Shared and Key_Shared: the broker hands entries to whoever asks, in any order, so a message can be stored twice when
// a run dies. How many at most is promised in docs/architecture.md; that none is lost is promised for every subscription.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BackupError } from '../src/errors.ts';
import { decodeRecord, encodeRecord, formatMessageId } from '../src/format/record.ts';
import { createFakeBroker, type FakeBroker, publish } from './fakes/memory-source.ts';
import { createMemoryStore, type MemoryStore } from './fakes/memory-store.ts';
import { publishedMessages, runDrain } from './stage/memory-stage.ts';

/** The objects' records, as text, by message id: one for each object that holds the message. */
function storedRecords(store: MemoryStore): Map<string, string[]> {
  const records = new Map<string, string[]>();
  for (const { bytes } of store.objects.values()) {
    for (const line of bytes.toString().split('\n').slice(0, -1)) {
      const id = formatMessageId(decodeRecord(line).id);
      // Without the marks of a whole object.
      records.set(id, [...(records.get(id) ?? []), `${line.trimEnd()}\n`]);
    }
  }
  return records;
}

/** How many records there are besides the first of each message. */
function duplicatesIn(stored: Map<string, string[]>): number {
  return [...stored.values()].reduce((sum, records) => sum + records.length - 1, 0);
}

function expectAcknowledgedIsStored(broker: FakeBroker, store: MemoryStore): void {
  const stored = storedRecords(store);
  const lost: string[] = [];
  for (const { entries, acknowledged } of broker.partitions) {
    for (const entry of entries) {
      if (entry.kind !== 'entry' || !acknowledged.has(`${entry.id.ledgerId}:${entry.id.entryId}`)) continue;
      lost.push(...entry.messages.map(({ id }) => formatMessageId(id)).filter((id) => !stored.has(id)));
    }
  }
  expect(lost).toEqual([]);
}

function fill(broker: FakeBroker, batches: readonly number[]): void {
  for (const partition of broker.partitions) {
    for (const size of batches)
      publish(
        partition,
        Array.from({ length: size }, () => 'some payload'),
      );
  }
}

/** A fixed shuffle for each seed. */
function shuffled<T>(items: readonly T[], seed: number): T[] {
  let state = seed;
  const keyed = items.map((item) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return { item, key: state };
  });
  return keyed.sort((a, b) => a.key - b.key).map(({ item }) => item);
}

describe('on a subscription without order', () => {
  it('the next file is not begun to be stored before the last one is acknowledged', async () => {
    const broker = createFakeBroker(1, { isInOrder: false });
    fill(
      broker,
      Array.from({ length: 40 }, () => 1),
    );
    const store = createMemoryStore();
    let unacknowledged = 0;
    let most = 0;
    store.hook = (when, call) => {
      if (when === 'before' && call === 'create') most = Math.max(most, ++unacknowledged);
    };
    broker.hook = async (call) => {
      if (call !== 'acknowledge') return;
      await new Promise((resolve) => setImmediate(resolve));
      unacknowledged--;
    };
    const result = await runDrain(broker, store, { limits: { maxMessages: 4, maxBytes: 1e9 } });
    expect(result.tally.objects).toBe(10);
    expect(most).toBe(1);
  });

  it('each crash stores at most one file for each partition twice, nothing is lost, and nothing is acknowledged that is not stored', async () => {
    const crash = fc.record({
      maxMessages: fc.integer({ min: 1, max: 40 }),
      crashAt: fc.integer({ min: 1, max: 80 }),
      order: fc.integer({ min: 0, max: 1_000_000 }),
      more: fc.array(fc.integer({ min: 0, max: 12 }), { maxLength: 6 }),
    });
    let duplicates = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 0, max: 12 }), { minLength: 1, maxLength: 30 }),
        fc.array(crash, { maxLength: 5 }),
        async (batches, crashes) => {
          const broker = createFakeBroker(2, { isInOrder: false });
          const store = createMemoryStore();
          fill(broker, batches);
          let allowed = 0;
          for (const { maxMessages, crashAt, order, more } of crashes) {
            // The process dies at the n-th step: nothing after it takes effect.
            let count = 0;
            const killed = () => new BackupError('source', 'killed');
            const dies = () => {
              if (++count >= crashAt) throw killed();
            };
            broker.hook = async (call) => {
              dies();
              if (call !== 'acknowledge') return;
              // A receipt takes its time: whatever does not wait for it happens meanwhile.
              for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setImmediate(resolve));
              if (count >= crashAt) throw killed();
            };
            broker.deliveryOrder = (entries) => shuffled(entries, order);
            store.hook = (when) => {
              if (when === 'before') dies();
              else if (count >= crashAt) throw new BackupError('store', 'killed');
            };
            await runDrain(broker, store, { limits: { maxMessages, maxBytes: 1e9 } });
            expectAcknowledgedIsStored(broker, store);
            // An entry that is larger than a file is acknowledged after the last of its files.
            const largest = Math.max(...broker.partitions.flatMap(({ entries }) => entries.map(sizeOf)));
            const fileAndEntry = maxMessages + (largest > maxMessages ? largest : 0);
            allowed += broker.partitions.length * fileAndEntry;
            fill(broker, more);
          }
          broker.hook = undefined;
          store.hook = undefined;
          broker.deliveryOrder = (entries) => shuffled(entries, 1);
          // A run ends when it has seen the last entry of its start, whatever comes after that in another order.
          for (let runs = 0; broker.backlog() > 0; runs++) {
            expect(runs).toBeLessThan(200);
            const result = await runDrain(broker, store, { limits: { maxMessages: 25, maxBytes: 1e9 } });
            expect(result.failure).toBeUndefined();
          }
          const stored = storedRecords(store);
          // An expectation for each of thousands takes longer than the runs.
          const wrong = [...publishedMessages(broker)].filter(([id, message]) => {
            const record = encodeRecord(message);
            return !stored.has(id) || stored.get(id)?.some((one) => one !== record);
          });
          expect(wrong).toEqual([]);
          expect(duplicatesIn(stored)).toBeLessThanOrEqual(allowed);
          duplicates += duplicatesIn(stored);
        },
      ),
      { numRuns: 200 },
    );
    // Else this would prove nothing.
    expect(duplicates).toBeGreaterThan(0);
  }, 180_000);
});

const sizeOf = (entry: FakeBroker['partitions'][number]['entries'][number]): number =>
  entry.kind === 'entry' ? entry.messages.length : 0;
