// How the work of a verification grows: twice as many places where something is wrong take about twice the work, counted
// in looks at entries, whatever the machine does meanwhile.
import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { ObjectRange } from '../../../src/archive/catalog/object-ranges.ts';
import { compareOverlaps } from '../../../src/archive/catalog/overlaps.ts';
import type { PartitionChain, RunMark } from '../../../src/archive/chain/follow-runs.ts';
import { findGaps } from '../../../src/archive/chain/gaps.ts';
import { EntryRanges, OwnedRanges } from '../../../src/archive/chain/marked-ranges.ts';
import { encodeRecord } from '../../../src/format/record.ts';
import type { EntryId } from '../../../src/ports.ts';
import { createMemoryStore } from '../../fakes/memory-store.ts';
import { message } from '../archive-fixture.ts';

let looks = 0;

/** An entry that counts how often somebody looks at it. */
function counted<Rest extends object>(entryId: number, rest?: Rest): EntryId & Rest {
  return Object.defineProperty({ entryId, ...rest } as EntryId & Rest, 'ledgerId', {
    enumerable: true,
    get: () => {
      looks++;
      return 7;
    },
  });
}

/** How many times as much is looked at for four times as many. */
async function growthOf(run: (count: number) => unknown): Promise<number> {
  const taken: number[] = [];
  for (const count of [250, 1_000]) {
    looks = 0;
    await run(count);
    taken.push(looks);
  }
  return (taken[1] as number) / (taken[0] as number);
}

/** Runs that each drained one entry and left two that nobody knows of, or that they found passed over. */
function chainOf(count: number, isPassedOver: boolean): PartitionChain {
  const acknowledged = new EntryRanges<RunMark>();
  const passedOver: PartitionChain['passedOver'] = [];
  for (let i = 0; i < count; i++) {
    const [startedAtMs, key] = [60_000 * i, `run ${i}`];
    const mark = { key, rule: 'r', startedAtMs, hasCompared: true, last: undefined };
    acknowledged.add({ after: counted(3 * i - 1), through: counted(3 * i) }, mark);
    const own = { partition: 0, entriesAtMost: 2, key, startedAtMs };
    if (isPassedOver) passedOver.push({ ...own, from: counted(3 * i - 3), to: counted(3 * i - 1) });
  }
  const name = { topic: 't', subscription: 's', isInOrder: true, partition: 0 };
  return { ...name, acknowledged, drained: new EntryRanges(), doubted: new EntryRanges(), passedOver };
}

it.each([
  ['that no run explains', false, true],
  ['that runs found passed over', true, true],
  ['that no run explains, where no object is left between', false, false],
  ['that runs found passed over, where no object is left between', true, false],
])('finds gaps %s in time that follows their number', async (_, isPassedOver, hasObjects) => {
  const growth = await growthOf((count) => {
    const objects = Array.from({ length: hasObjects ? count : 1 }, (_unused, i) => {
      const first = counted(3 * i);
      return { key: `object ${i}`, first, last: first };
    });
    const { gaps } = findGaps(objects, [], [chainOf(count, isPassedOver)], []);
    expect(gaps.length).toBeGreaterThanOrEqual(count - 1);
  });
  expect(growth).toBeLessThan(8);
});

it('compares objects that all seem to reach to the end in time that follows their number', async () => {
  const store = createMemoryStore();
  const ends = { compression: 'none', day: 0, lastDay: 0, isListed: true, isRecovered: false } as const;
  const growth = await growthOf(async (count) => {
    const objects: ObjectRange[] = [];
    for (let i = 0; i < count; i++) {
      const key = `${count}/${i}`;
      const id = { partition: 0, batchIndex: -1 };
      // The last but one has a message of the first, too, and another one of the second.
      const own = [message(0, i), ...(i === count - 2 ? [message(0, 0), message(0, 1, { key: 'x' })] : [])];
      const bytes = Buffer.from(own.map(encodeRecord).join(''));
      store.objects.set(key, { key, bytes, metadata: {}, contentType: '', crc64: '' });
      objects.push({ ...ends, place: i, key, first: counted(i, id), last: counted(1e6, id) });
    }
    const { duplicates, findings } = await compareOverlaps(store, objects, {});
    expect(duplicates).toBe(1);
    expect(findings.map(({ key, kind, detail }) => [key, kind, detail.split(' ').at(-1)])).toEqual([
      [`${count}/${count - 2}`, 'duplicates', `${count}/0`],
      [`${count}/${count - 2}`, 'conflict', `${count}/1`],
    ]);
  });
  expect(growth).toBeLessThan(8);
});

it('gives what two ranges have to the one that was added first, and parts every range by them', () => {
  const range = fc.tuple(fc.nat(40), fc.nat(15)).map(([from, entries]) => ({
    after: { ledgerId: 7, entryId: from },
    through: { ledgerId: 7, entryId: from + entries },
  }));
  const entries = ({ after, through }: { after: EntryId; through: EntryId }) =>
    Array.from({ length: through.entryId - after.entryId }, (_, i) => after.entryId + 1 + i);
  fc.assert(
    fc.property(fc.array(range, { maxLength: 20 }), range, (ranges, asked) => {
      const { inside, outside } = new OwnedRanges(ranges.map((one, owner) => ({ ...one, owner }))).split(
        asked,
      );
      const owners = new Map(
        inside.flatMap((one) => entries(one.range).map((entry) => [entry, one.by.owner] as const)),
      );
      const free = outside.flatMap(entries);
      for (const entry of entries(asked)) {
        const owner = ranges.findIndex((one) => entries(one).includes(entry));
        expect(owners.get(entry)).toBe(owner < 0 ? undefined : owner);
        expect(free.includes(entry)).toBe(owner < 0);
      }
      expect(owners.size + free.length).toBe(entries(asked).length);
    }),
  );
});
