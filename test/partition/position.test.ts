// Positions in a partition: what comes again is not taken again, and files end where found objects begin or end.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compareMessageIds } from '../../src/format/record.ts';
import { DrainPosition, firstBehind, keyPosition } from '../../src/partition/position.ts';
import type { Message, MessageId, ReadableEntry } from '../../src/ports.ts';

const id = (entryId: number, batchIndex = -1): MessageId => ({
  ledgerId: 7,
  entryId,
  partition: 0,
  batchIndex,
});
const text = ({ entryId, batchIndex }: MessageId) => `7:${entryId}:0:${batchIndex}`;

/** A batch of so many messages. */
function batch(entryId: number, count: number): ReadableEntry {
  const messages = Array.from({ length: count }, (_, i) => ({ id: id(entryId, i) }) as Message);
  return { kind: 'entry', id: { ledgerId: 7, entryId }, messages };
}
const taken = (position: DrainPosition, entry: ReadableEntry) =>
  position.notYetTaken(entry).map((one) => one.id.batchIndex);

it('finds the first position behind a message as one look at each would', () => {
  const position = fc.record({
    ledgerId: fc.integer({ min: 1, max: 3 }),
    entryId: fc.integer({ min: 0, max: 5 }),
    batchIndex: fc.integer({ min: -1, max: 3 }),
  });
  fc.assert(
    fc.property(fc.array(position), position, (positions, one) => {
      const ascending = positions.map(keyPosition).sort(compareMessageIds);
      const expected = ascending.find((other) => compareMessageIds(other, keyPosition(one)) > 0);
      expect(firstBehind(ascending, one)).toEqual(expected);
    }),
  );
});

describe('what comes again', () => {
  it('is not taken again in order: whole entries, and the messages of one that was taken in part', () => {
    const position = new DrainPosition(true);
    position.moveTo(id(4, 1));
    expect(taken(position, batch(3, 3))).toEqual([]);
    expect(taken(position, batch(4, 3))).toEqual([2]);
    expect(taken(position, batch(5, 2))).toEqual([0, 1]);
  });

  it('is taken again in order from behind what is durable, once the partition begins again', () => {
    const position = new DrainPosition(true);
    position.moveTo(id(6, 2));
    position.resumeAfter(id(4, 0));
    expect(taken(position, batch(4, 2))).toEqual([1]);
    expect(position.hasPassed({ ledgerId: 7, entryId: 3 })).toBe(true);
    expect(position.hasPassed({ ledgerId: 7, entryId: 5 })).toBe(false);
  });

  it('is not taken again without order until it is acknowledged, whatever came since', () => {
    const position = new DrainPosition(false);
    position.entryTaken({ ledgerId: 7, entryId: 5 });
    expect(taken(position, batch(5, 2))).toEqual([]);
    expect(taken(position, batch(4, 2))).toEqual([0, 1]);
    position.entriesSettled();
    expect(taken(position, batch(5, 2))).toEqual([0, 1]);
  });
});

describe('the messages of a found object', () => {
  function afterFinding() {
    const position = new DrainPosition(true);
    const ids = new Set([id(2, 0), id(2, 2), id(4, 0)].map(text));
    position.skip({ ids, last: id(4, 0), begins: [{ ledgerId: 7, entryId: 9, batchIndex: 1 }] });
    return position;
  }

  it('are not taken, and what the object does not hold between them is', () => {
    expect(taken(afterFinding(), batch(2, 4))).toEqual([1, 3]);
  });

  it('end a file at their end and where the next object begins', () => {
    const position = afterFinding();
    expect(position.hasBorderIn(batch(3, 2).messages)).toBe(false);
    expect(position.hasBorderIn(batch(4, 2).messages)).toBe(true);
    expect(position.hasBorderIn(batch(9, 3).messages)).toBe(true);
    expect(position.borderBehind(id(9, 1))).toBeUndefined();
  });

  it('are forgotten only when all before the next message is durable, and not while their last entry can come again', () => {
    const position = afterFinding();
    expect(position.forgetStoredBefore(id(4, 1))).toBeUndefined();
    const forget = position.forgetStoredBefore(id(5, 0));
    expect(taken(position, batch(4, 1))).toEqual([]);
    // Asked for once, while what is in line becomes durable.
    expect(position.forgetStoredBefore(id(6, 0))).toBeUndefined();
    forget?.();
    expect(taken(position, batch(4, 1))).toEqual([0]);
    expect(position.forgetStoredBefore(id(7, 0))).toBeUndefined();
  });

  it('are forgotten later where what was in line was dropped', () => {
    const position = afterFinding();
    position.forgetStoredBefore(id(5, 0));
    position.keepStored();
    expect(position.forgetStoredBefore(id(5, 0))).toBeTypeOf('function');
  });
});
