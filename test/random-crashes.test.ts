// Any crashes, moves and limits, at random: one undisturbed run later every message is in exactly one object.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BackupError } from '../src/errors.ts';
import { formatMessageId } from '../src/format/record.ts';
import { connectionLost, createFakeBroker, publish } from './fakes/memory-source.ts';
import { createMemoryStore } from './fakes/memory-store.ts';
import { expectAllStoredOnce, runDrain, storedMessages } from './stage/memory-stage.ts';

describe('whatever happens', () => {
  it('after any crashes with any limits, one undisturbed run leaves every message in exactly one object', async () => {
    const step = fc.record({
      maxMessages: fc.integer({ min: 1, max: 40 }),
      maxBytes: fc.integer({ min: 500, max: 20_000 }),
      crashAt: fc.integer({ min: 1, max: 60 }),
      more: fc.integer({ min: 0, max: 15 }),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 0, max: 12 }), { minLength: 1, maxLength: 30 }),
        fc.array(step, { maxLength: 5 }),
        fc.integer({ min: 1, max: 40 }),
        fc.constantFrom('none', 'gzip'),
        fc.integer({ min: 0, max: 15 }),
        async (batches, steps, lastMaxMessages, compression, arrivals) => {
          const broker = createFakeBroker(2);
          broker.arrivals = () => arrivals;
          const store = createMemoryStore();
          const seen = new Map<string, string>();
          const add = (sizes: number[]) => {
            for (const partition of broker.partitions) {
              for (const size of sizes)
                publish(
                  partition,
                  Array.from(
                    { length: size },
                    (_, i) => `payload ${partition.nextId.entryId} ${i} of ${partition.partition}`,
                  ),
                );
            }
          };
          add(batches);
          for (const { maxMessages, maxBytes, crashAt, more } of steps) {
            // The process dies at the n-th step: nothing after it takes effect.
            let count = 0;
            const dies = () => {
              if (++count >= crashAt) throw new BackupError('source', 'killed');
            };
            broker.hook = dies;
            store.hook = (when) => {
              if (when === 'before') dies();
              else if (count >= crashAt) throw new BackupError('store', 'killed');
            };
            await runDrain(broker, store, { limits: { maxMessages, maxBytes }, compression });
            add(Array.from({ length: more }, (_, i) => i % 5));
            for (const [key, { crc64 }] of store.objects) {
              expect(seen.get(key) ?? crc64, 'no object is ever replaced').toBe(crc64);
              seen.set(key, crc64);
            }
          }
          broker.hook = undefined;
          store.hook = undefined;
          const result = await runDrain(broker, store, {
            limits: { maxMessages: lastMaxMessages, maxBytes: 1e6 },
            compression,
          });
          expect(result.failure).toBeUndefined();
          expectAllStoredOnce(broker, store);
          expect(broker.backlog()).toBe(0);
        },
      ),
      { numRuns: 300 },
    );
  }, 180_000);

  it('after any reconnects, moves and crashes, one undisturbed run leaves every message in exactly one object', async () => {
    const step = fc.record({
      maxMessages: fc.integer({ min: 1, max: 20 }),
      crashAt: fc.integer({ min: 1, max: 200 }),
      /** Every so many receives the broker begins again at the first entry that it knows to be unacknowledged. */
      beginsAgainEvery: fc.integer({ min: 3, max: 30 }),
      isMove: fc.boolean(),
      /** Every so many acknowledgements the connection breaks instead. */
      breaksEvery: fc.integer({ min: 2, max: 6 }),
      receiptTurns: fc.integer({ min: 0, max: 6 }),
    });
    const nextTurn = () => new Promise((resolve) => setImmediate(resolve));
    // Pauses between tries take no time; the end of the run does not come.
    const sleep = (ms: number) => (ms > 10_000 ? new Promise<void>(() => undefined) : Promise.resolve());
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 0, max: 12 }), { minLength: 5, maxLength: 40 }),
        fc.array(step, { minLength: 1, maxLength: 4 }),
        fc.constantFrom('none', 'gzip'),
        fc.integer({ min: 0, max: 15 }),
        async (batches, steps, compression, arrivals) => {
          const broker = createFakeBroker(2);
          broker.arrivals = () => arrivals;
          const store = createMemoryStore();
          for (const partition of broker.partitions) {
            for (const size of batches)
              publish(
                partition,
                Array.from(
                  { length: size },
                  (_, i) => `payload ${partition.nextId.entryId} ${i} of ${partition.partition}`,
                ),
              );
          }
          for (const { maxMessages, crashAt, beginsAgainEvery, isMove, breaksEvery, receiptTurns } of steps) {
            let count = 0;
            let receives = 0;
            let acknowledgements = 0;
            const killed = () => new BackupError('source', 'killed');
            broker.hook = async (call, { partition }) => {
              if (++count >= crashAt) throw killed();
              if (call === 'next' && ++receives % beginsAgainEvery === 0) {
                if (isMove) broker.interruptions.set(partition, [{ kind: 'lost' }]);
                broker.rewind(partition);
              }
              if (call !== 'acknowledge') return;
              if (++acknowledgements % breaksEvery === 0) throw connectionLost();
              for (let turn = 0; turn < receiptTurns; turn++) await nextTurn();
              if (count >= crashAt) throw killed();
            };
            store.hook = (when) => {
              if (when === 'before') count++;
              if (count >= crashAt) throw new BackupError('store', 'killed');
            };
            await runDrain(broker, store, {
              limits: { maxMessages, maxBytes: 1e9 },
              compression,
              subscriptionType: isMove ? 'failover' : 'exclusive',
              clock: { now: Date.now, sleep },
            });
            const stored = storedMessages(store);
            const lost: string[] = [];
            for (const { entries, acknowledged } of broker.partitions) {
              for (const entry of entries) {
                if (entry.kind !== 'entry' || !acknowledged.has(`7:${entry.id.entryId}`)) continue;
                const ids = entry.messages.map(({ id }) => formatMessageId(id));
                lost.push(...ids.filter((id) => !stored.has(id)));
              }
            }
            expect(lost).toEqual([]);
          }
          broker.hook = undefined;
          store.hook = undefined;
          const result = await runDrain(broker, store, {
            limits: { maxMessages: 15, maxBytes: 1e9 },
            compression,
          });
          expect(result.failure).toBeUndefined();
          expectAllStoredOnce(broker, store);
          expect(broker.backlog()).toBe(0);
        },
      ),
      { numRuns: 200 },
    );
  }, 180_000);
});
