// The progress of a restore: what is written down is true, and what is not is never much.
import fc from 'fast-check';
import { expect, it } from 'vitest';
import {
  type Acknowledged,
  createProgress,
  SAVE_EVERY_BYTES,
} from '../../../src/archive/restore/restore-progress.ts';
import type { TopicProducer } from '../../../src/ports.ts';

/** A producer that has a receipt for all it sent when `receive` is called. */
function fakeProducer() {
  let sent = -1;
  let acknowledgedSequenceId = -1;
  const producer: TopicProducer = {
    lastSequenceId: -1,
    get acknowledgedSequenceId() {
      return acknowledgedSequenceId;
    },
    send: async ({ sequenceId }) => {
      sent = sequenceId;
    },
    sendEntry: async () => ({ kind: 'refused', reason: 'this broker takes messages only' }),
    push() {},
    flush: async () => undefined,
    close: async () => undefined,
  };
  const receive = () => {
    acknowledgedSequenceId = sent;
  };
  return { producer, receive };
}

const outgoing = (sequenceId: number) => ({
  ...{ sequenceId, key: undefined, orderingKey: undefined, properties: [], eventTimeMs: undefined },
  payload: null,
});

it('writes down what has receipts of every partition, whichever asks', async () => {
  const saved: Acknowledged[] = [];
  let nowMs = 0;
  const clock = { now: () => nowMs, sleep: async () => undefined };
  const progress = createProgress({ '7': { '1': 5 } }, async (now) => void saved.push(now), clock);
  const [a, b] = [fakeProducer(), fakeProducer()];
  progress.track('0', new Map([[3, a.producer]]));
  progress.track('1', new Map([[4, b.producer]]));
  await a.producer.send(outgoing(10));
  await b.producer.send(outgoing(20));
  void progress.sent(1);
  expect(saved).toEqual([]);
  b.receive();
  nowMs = 500;
  await progress.sent(1);
  await Promise.resolve();
  expect(saved).toEqual([{ '1': { '4': 20 }, '7': { '1': 5 } }]);
  a.receive();
  await progress.finish();
  expect(saved.at(-1)).toEqual({ '0': { '3': 10 }, '1': { '4': 20 }, '7': { '1': 5 } });
});

it('lets no more be published than twice the bytes after which it writes, however slow writing is', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.integer({ min: 1, max: SAVE_EVERY_BYTES }), { maxLength: 40 }),
      fc.infiniteStream(fc.integer({ min: 0, max: 20 })),
      async (sizes, turns) => {
        const clock = { now: () => 0, sleep: async () => undefined };
        const { producer, receive } = fakeProducer();
        const sent: number[] = [];
        let saved = -1;
        const bytesSince = (from: number) => sent.slice(from + 1).reduce((sum, size) => sum + size, 0);
        let isSaving = false;
        const progress = createProgress(
          {},
          async (now) => {
            expect(isSaving).toBe(false);
            isSaving = true;
            for (let i = turns.next().value ?? 0; i > 0; i--) await Promise.resolve();
            isSaving = false;
            saved = Math.max(saved, now['0']?.['0'] ?? -1);
          },
          clock,
        );
        progress.track('0', new Map([[0, producer]]));
        for (const [i, size] of sizes.entries()) {
          await producer.send(outgoing(i));
          receive();
          sent.push(size);
          await progress.sent(size);
          // One message more may go than there is room for.
          expect(bytesSince(saved) - size).toBeLessThanOrEqual(2 * SAVE_EVERY_BYTES);
        }
        await progress.finish();
        expect(saved).toBe(sizes.length - 1);
      },
    ),
  );
});

it('stops publishing when it cannot write', async () => {
  let nowMs = 0;
  const clock = { now: () => nowMs, sleep: async () => undefined };
  const progress = createProgress({}, () => Promise.reject(new Error('no room')), clock);
  nowMs = 500;
  void progress.sent(1);
  for (let i = 0; i < 5; i++) await Promise.resolve();
  expect(() => progress.sent(1)).toThrow('no room');
});
