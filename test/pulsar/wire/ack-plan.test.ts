import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AckPlan } from '../../../src/pulsar/wire/ack-plan.ts';

const id = (entryId: number) => ({ ledgerId: 1, entryId });
const steps = (plan: AckPlan, ...entries: number[]) => {
  const { cumulative, individual } = plan.steps(entries.map(id));
  return { upTo: cumulative?.entryId, each: individual.map(({ entryId }) => entryId) };
};

describe('acknowledging', () => {
  it('is one cumulative position on ordered subscriptions', () => {
    const plan = new AckPlan(true);
    for (const n of [1, 2, 3]) plan.handOut(id(n));
    expect(steps(plan, 1, 2)).toEqual({ upTo: 2, each: [] });
  });

  it('is a list on the others, chunked messages with all their entries', () => {
    const plan = new AckPlan(false);
    plan.handOut(id(1));
    plan.sawChunk('u', id(2));
    plan.handOut(id(4), { uuid: 'u', ids: [id(2), id(4)] });
    expect(steps(plan, 1, 4)).toEqual({ upTo: undefined, each: [1, 2, 4] });
  });

  it('goes around the chunks of a message that is not complete', () => {
    const plan = new AckPlan(true);
    plan.handOut(id(1));
    plan.sawChunk('open', id(2));
    plan.handOut(id(3));
    plan.handOut(id(4));
    expect(steps(plan, 1)).toEqual({ upTo: 1, each: [] });
    expect(steps(plan, 4)).toEqual({ upTo: 1, each: [3, 4] });
    plan.acknowledged([id(4)]);
    plan.handOut(id(5));
    expect(steps(plan, 5)).toEqual({ upTo: 1, each: [5] });
    plan.handOut(id(6), { uuid: 'open', ids: [id(2), id(6)] });
    expect(steps(plan, 6)).toEqual({ upTo: 6, each: [] });
  });

  it('still goes around them after a reconnect, before they came again', () => {
    const plan = new AckPlan(true);
    plan.sawChunk('open', id(1));
    plan.handOut(id(2));
    for (const _ of ['first delivery', 'again']) {
      expect(steps(plan, 2)).toEqual({ upTo: undefined, each: [2] });
      plan.sawChunk('open', id(1));
      plan.handOut(id(2));
    }
  });

  it('takes every entry asked for, and no chunk of an incomplete message, whatever the mix', () => {
    const anyTopic = fc.array(fc.oneof(fc.constant('single'), fc.constantFrom('a', 'b', 'c')), {
      minLength: 1,
      maxLength: 30,
    });
    fc.assert(
      fc.property(anyTopic, fc.array(fc.nat(29), { maxLength: 5 }), (topic, ackAfter) => {
        const plan = new AckPlan(true);
        const acked = new Set<number>();
        const handedOut = new Set<number>();
        const open = new Map<string, number[]>();
        topic.forEach((kind, at) => {
          if (kind === 'single') {
            plan.handOut(id(at));
            handedOut.add(at);
          } else {
            const ids = [...(open.get(kind) ?? []), at];
            if (ids.length < 3) {
              plan.sawChunk(kind, id(at));
              open.set(kind, ids);
            } else {
              plan.handOut(id(at), { uuid: kind, ids: ids.map(id) });
              for (const one of ids) handedOut.add(one);
              open.delete(kind);
            }
          }
          if (!ackAfter.includes(at) || !handedOut.has(at)) return;
          const { upTo, each } = steps(plan, at);
          for (let n = 0; n <= (upTo ?? -1); n++) acked.add(n);
          for (const one of each) acked.add(one);
          plan.acknowledged([id(at)]);
          const incomplete = [...open.values()].flat();
          expect(incomplete.filter((one) => acked.has(one))).toEqual([]);
          expect([...handedOut].filter((one) => !acked.has(one))).toEqual([]);
        });
      }),
      { numRuns: 2_000 },
    );
  });

  it('knows whether anything handed out is open', () => {
    const plan = new AckPlan(true);
    expect(plan.hasOpen).toBe(false);
    plan.handOut(id(1));
    expect(plan.hasOpen).toBe(true);
    plan.acknowledged([id(1)]);
    expect(plan.hasOpen).toBe(false);
    plan.handOut(id(2));
    plan.restart();
    expect(plan.hasOpen).toBe(false);
  });
});
