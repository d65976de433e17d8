import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Cursor } from '../../../src/local/broker/cursor.ts';

test('single acknowledgements move mark-delete only when they close the gap', () => {
  const cursor = new Cursor(-1);
  cursor.ack(2);
  cursor.ack(1);
  expect([cursor.markDelete, cursor.individuallyAcked(), cursor.backlog(4)]).toEqual([-1, [1, 2], 2]);
  cursor.ack(0);
  expect([cursor.markDelete, cursor.individuallyAcked(), cursor.backlog(4)]).toEqual([2, [], 1]);
});

test('a cumulative acknowledgement takes everything below, joins what is acknowledged after it, and never goes back', () => {
  const cursor = new Cursor(-1);
  cursor.ack(1);
  cursor.ack(4);
  cursor.ackCumulative(3);
  expect([cursor.markDelete, cursor.individuallyAcked()]).toEqual([4, []]);
  cursor.ackCumulative(2);
  cursor.ack(0);
  expect([cursor.markDelete, cursor.individuallyAcked()]).toEqual([4, []]);
});

test('a cursor is the set of what was acknowledged, in whatever order and however often', () => {
  const act = fc.record({ place: fc.integer({ min: 0, max: 30 }), isCumulative: fc.boolean() });
  fc.assert(
    fc.property(fc.array(act), (acts) => {
      const cursor = new Cursor(-1);
      const acked = new Set<number>();
      for (const { place, isCumulative } of acts) {
        if (isCumulative) cursor.ackCumulative(place);
        else cursor.ack(place);
        for (let at = isCumulative ? 0 : place; at <= place; at++) acked.add(at);
      }
      const places = Array.from({ length: 31 }, (_, place) => place);
      expect(places.filter((place) => cursor.isAcked(place))).toEqual(
        places.filter((place) => acked.has(place)),
      );
      expect(cursor.backlog(31)).toBe(31 - acked.size);
      expect(cursor.isAcked(cursor.markDelete + 1)).toBe(false);
    }),
  );
});
