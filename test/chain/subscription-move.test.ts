import { describe, expect, it } from 'vitest';
import { moveBetween } from '../../src/chain/subscription-move.ts';
import { parseEntry } from '../../src/format/entry-order.ts';
import type { EntryId } from '../../src/ports.ts';

const at = (text: string) => parseEntry(text) as EntryId;
/** `5:10` or `5:10 of 5:20`: how far is acknowledged, and the last message. */
const position = (text: string) => {
  const [acknowledged, last] = text.split(' of ');
  return { acknowledged: at(acknowledged as string), last: last === undefined ? undefined : at(last) };
};

describe('a subscription', () => {
  it.each([
    ['5:10', '5:10'],
    ['5:-1', '5:-1'],
    // read to the end of its ledger, which was closed and trimmed
    ['5:10 of 5:10', '6:-1'],
    ['5:10 of 5:10', '6:-1 of 6:7'],
    ['5:10 of 5:10', '8:-1 of 5:10'],
    ['5:10', '6:-1'],
  ])('that was at %s and is at %s has not moved, as far as can be known', (before, now) => {
    expect(moveBetween(position(before), position(now))).toBeUndefined();
  });

  it.each([
    ['5:10', '5:11', '5:11', 1],
    ['5:-1', '5:9', '5:9', 10],
    ['5:10', '6:0', '6:0', undefined],
    ['5:10 of 5:10', '6:-1 of 5:200', '5:200', 190],
    ['5:10 of 5:200', '6:-1', '5:200', undefined],
    ['5:10 of 5:200', '6:-1 of 6:3', '5:200', undefined],
    ['5:10 of 5:200', '6:-1 of 5:200', '5:200', 190],
    ['5:10 of 7:3', '8:-1', '7:3', undefined],
  ])('that was at %s and is at %s has moved forwards', (before, now, through, entriesAtMost) => {
    expect(moveBetween(position(before), position(now))).toEqual({
      direction: 'forwards',
      through: at(through),
      entriesAtMost,
    });
  });

  it.each([
    ['5:10', '5:9'],
    ['5:10', '5:-1'],
    ['5:10', '4:300'],
    ['5:10', '2:-1'],
    ['6:-1', '5:-1'],
    ['6:-1', '5:10'],
  ])('that was at %s and is at %s has moved backwards', (before, now) => {
    expect(moveBetween(position(before), position(now))).toEqual({ direction: 'backwards' });
  });
});
