import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AckPlan } from '../../../src/pulsar/wire/ack-plan.ts';
import { BatchPart } from '../../../src/pulsar/wire/protocol/batch-part.ts';

const id = (entryId: number, ledgerId = 1) => ({ ledgerId, entryId });
const steps = (plan: AckPlan, ...entries: number[]) => {
  const { cumulative, individual } = plan.steps(entries.map((n) => id(n)));
  return { upTo: cumulative?.entryId, each: individual.map(({ entryId }) => entryId) };
};
/** As `steps`, and the broker has it. */
const acknowledge = (plan: AckPlan, ...entries: number[]) => {
  const sent = steps(plan, ...entries);
  const asked = entries.map((n) => id(n));
  plan.acknowledged(asked, plan.steps(asked));
  return sent;
};
/** A plan of an ordered subscription, all of it acknowledged up to an entry. */
const planAfter = (entryId: number) => {
  const plan = new AckPlan(true);
  plan.closed(id(entryId));
  return plan;
};

describe('acknowledging', () => {
  it('is one cumulative position on ordered subscriptions', () => {
    const plan = planAfter(0);
    for (const n of [1, 2, 3]) plan.handOut(id(n));
    expect(steps(plan, 1, 2)).toEqual({ upTo: 2, each: [] });
  });

  it('is a list on the others, chunked messages with all their entries', () => {
    const plan = new AckPlan(false);
    plan.handOut(id(1));
    plan.handOut(id(4), { joined: [id(2), id(4)] });
    expect(steps(plan, 1, 4)).toEqual({ upTo: undefined, each: [1, 2, 4] });
  });

  it('is single behind what was not handed out, until the broker has closed the hole', () => {
    const plan = planAfter(-1);
    for (const n of [0, 1, 5, 6]) plan.handOut(id(n));
    expect(acknowledge(plan, 0, 1, 5)).toEqual({ upTo: 1, each: [5] });
    expect(acknowledge(plan, 6)).toEqual({ upTo: undefined, each: [6] });
    plan.handOut(id(7));
    expect(steps(plan, 7)).toEqual({ upTo: undefined, each: [7] });
    plan.closed(id(6));
    expect(steps(plan, 7)).toEqual({ upTo: 7, each: [] });
  });

  it('is single at first where it is not known what comes before, and behind the end of a ledger', () => {
    const unknown = new AckPlan(true);
    unknown.handOut(id(1));
    expect(steps(unknown, 1)).toEqual({ upTo: undefined, each: [1] });
    const plan = planAfter(0);
    plan.handOut(id(1));
    plan.handOut(id(0, 2));
    expect(plan.steps([id(1), id(0, 2)])).toEqual({ cumulative: id(1), individual: [id(0, 2)] });
  });

  it('goes around the chunks of a message that is not complete', () => {
    const plan = planAfter(0);
    plan.handOut(id(1));
    plan.handOut(id(3));
    plan.handOut(id(4));
    expect(steps(plan, 1)).toEqual({ upTo: 1, each: [] });
    expect(acknowledge(plan, 4)).toEqual({ upTo: 1, each: [3, 4] });
    plan.handOut(id(5));
    expect(steps(plan, 5)).toEqual({ upTo: undefined, each: [5] });
    plan.handOut(id(6), { joined: [id(2), id(6)] });
    expect(steps(plan, 5)).toEqual({ upTo: undefined, each: [5] });
    expect(steps(plan, 6)).toEqual({ upTo: 6, each: [] });
  });

  it('still goes around them after a reconnect, before they came again', () => {
    const plan = planAfter(0);
    plan.handOut(id(2));
    for (const _ of ['first delivery', 'again']) {
      expect(steps(plan, 2)).toEqual({ upTo: undefined, each: [2] });
      plan.handOut(id(2));
    }
  });

  it('takes every entry asked for, and nothing that was not handed out, whatever the mix', () => {
    const anyTopic = fc.array(fc.constantFrom('single', 'hole', 'a', 'b', 'c'), {
      minLength: 1,
      maxLength: 30,
    });
    fc.assert(
      fc.property(
        anyTopic,
        fc.array(fc.nat(29), { maxLength: 5 }),
        fc.boolean(),
        (topic, ackAfter, isTold) => {
          const plan = planAfter(-1);
          const acked = new Set<number>();
          const handedOut = new Set<number>();
          const open = new Map<string, number[]>();
          topic.forEach((kind, at) => {
            if (kind === 'hole') return;
            if (kind === 'single') {
              plan.handOut(id(at));
              handedOut.add(at);
            } else {
              const ids = [...(open.get(kind) ?? []), at];
              if (ids.length < 3) open.set(kind, ids);
              else {
                plan.handOut(id(at), { joined: ids.map((n) => id(n)) });
                for (const one of ids) handedOut.add(one);
                open.delete(kind);
              }
            }
            if (!ackAfter.includes(at) || !handedOut.has(at)) return;
            const { upTo, each } = acknowledge(plan, at);
            for (let n = 0; n <= (upTo ?? -1); n++) acked.add(n);
            for (const one of each) acked.add(one);
            expect([...acked].filter((one) => !handedOut.has(one))).toEqual([]);
            expect([...handedOut].filter((one) => !acked.has(one))).toEqual([]);
            let markDelete = -1;
            while (acked.has(markDelete + 1)) markDelete++;
            if (isTold) plan.closed(id(markDelete));
          });
        },
      ),
      { numRuns: 2_000 },
    );
  });

  it('says about a batch in part what is left of it, and never goes over it', () => {
    const plan = planAfter(-1);
    plan.handOut(id(0));
    plan.handOut(id(1), { part: BatchPart.of([0b1111111000], 10) as BatchPart });
    plan.handOut(id(2));
    const { cumulative, individual } = plan.steps([id(0), id(1), id(2)]);
    expect(cumulative).toEqual(id(0));
    expect(individual.map(({ entryId, part }) => [entryId, part?.ackSet])).toEqual([
      [2, undefined],
      [1, [0b111n]],
    ]);
  });

  it('knows whether anything handed out is open', () => {
    const plan = planAfter(0);
    expect(plan.hasOpen).toBe(false);
    plan.handOut(id(1));
    expect(plan.hasOpen).toBe(true);
    acknowledge(plan, 1);
    expect(plan.hasOpen).toBe(false);
    plan.handOut(id(2));
    plan.restart();
    expect(plan.hasOpen).toBe(false);
  });
});

describe('an entry that comes for the first time behind later ones', () => {
  it('is too late for this run, also after everything began again; what comes again is not', () => {
    const plan = planAfter(-1);
    for (const n of [0, 3, 4]) plan.handOut(id(n));
    plan.restart();
    expect([0, 1, 2, 3, 4, 5].filter((n) => plan.isTooLate(id(n)))).toEqual([1, 2]);
    plan.closed(id(2));
    expect(plan.isTooLate(id(1))).toBe(false);
    expect(new AckPlan(false).isTooLate(id(0))).toBe(false);
  });
});

describe('a batch in part', () => {
  const part = (...words: (number | bigint)[]) => BatchPart.of(words, 130) as BatchPart;

  it('is read from the words of a BitSet, the last ones left out, and is none where all is there', () => {
    const one = part(-1, 1);
    expect([0, 63, 64, 65, 129].filter((index) => one.has(index))).toEqual([0, 63, 64]);
    expect(one.count).toBe(65);
    expect(one.ackSet).toEqual([0n, -2n, 0b11n]);
    expect(BatchPart.of([-1, -1, 0b11], 130)).toBeUndefined();
    expect(BatchPart.of([], 130)).toBeUndefined();
    expect(part(0).count).toBe(0);
  });

  it('is never more than the first time', () => {
    const plan = planAfter(-1);
    plan.handOut(id(0), { part: part(0b1100) });
    expect(plan.partOf(id(0), undefined)?.count).toBe(2);
    expect(plan.partOf(id(0), part(0b0110))?.ackSet).toEqual(part(0b0100).ackSet);
    expect(plan.partOf(id(1), undefined)).toBeUndefined();
  });
});
