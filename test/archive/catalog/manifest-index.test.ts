// What manifests say, date by date: nothing is lost where they name more than there is room for, and little is read twice.
import { expect, it } from 'vitest';
import { createManifestIndex, type ManifestSource } from '../../../src/archive/catalog/manifest-index.ts';
import type { ManifestObject } from '../../../src/format/run-manifest.ts';
import type { ListedObject } from '../../../src/ports.ts';

const FOLDER = 't/n/orders/';
const DAYS = Array.from({ length: 30 }, (_, day) => `2026-11-${String(day + 1).padStart(2, '0')}`);
const PER_DAY = 5_000;
const PER_MANIFEST = 2_000;
const INDEXED = '2027-03-01';

const pathAt = (date: string, number: number): string =>
  `${FOLDER}date=${date}/partition=${number % 4}/${String(number).padStart(12, '0')}-0000000000-00000.jsonl`;

/** As `archive index` leaves them, a month later, for objects that no run knew; `byPartition`: as it once ordered them. */
function indexManifests(byPartition: boolean) {
  const places = DAYS.flatMap((date) => Array.from({ length: PER_DAY }, (_, number) => ({ date, number })));
  if (byPartition) places.sort((a, b) => (a.number % 4) - (b.number % 4));
  const paths = places.map(({ date, number }) => pathAt(date, number));
  const count = Math.ceil(paths.length / PER_MANIFEST);
  let reads = 0;
  const source: ManifestSource = {
    list: async (date) =>
      Array.from({ length: date === INDEXED ? count : 0 }, (_, i): ListedObject => {
        return { key: `_runs/rule=r/date=${date}/${i}.json`, sizeBytes: 800_000, lastModified: new Date() };
      }),
    read: async ({ key }) => {
      reads++;
      const at = Number(/(\d+)\.json$/.exec(key)?.[1]) * PER_MANIFEST;
      return paths.slice(at, at + PER_MANIFEST).map((path) => ({ key: path }) as ManifestObject);
    },
  };
  return { source, count, reads: () => reads };
}

const GONE = new Set([pathAt('2026-11-01', 3), pathAt('2026-11-17', 0), pathAt('2026-11-30', 4_999)]);

it.each([false, true])(
  'finds what an index says of more objects than there is room for, each once (by partition: %s)',
  async (byPartition) => {
    const { source, count, reads } = indexManifests(byPartition);
    const index = createManifestIndex([INDEXED], undefined, FOLDER, source);
    let unknown = 0;
    for (const date of DAYS.filter((one) => one !== '2026-11-20')) {
      await index.around(date);
      for (let number = 0; number < PER_DAY; number++) {
        const path = pathAt(date, number);
        if (!GONE.has(path) && index.take(path)?.key !== path) unknown++;
      }
    }
    expect(unknown).toBe(0);
    // What nobody listed, each once: single objects, and a whole day.
    const left = (await index.end()).map(({ key }) => key);
    const ofDay = Array.from({ length: PER_DAY }, (_, number) => pathAt('2026-11-20', number));
    expect(left.sort()).toEqual([...GONE, ...ofDay].sort());
    // Not all of it was held; manifests in the order of the listing are read again where it comes to them.
    expect(reads()).toBeGreaterThan(count);
    if (!byPartition) expect(reads()).toBeLessThan(3 * count);
  },
);

it('holds nothing of the dates that are not asked for', async () => {
  const { source, count, reads } = indexManifests(true);
  const asked = { from: '2026-11-16', until: '2026-11-17' };
  const index = createManifestIndex([INDEXED], asked, FOLDER, source);
  await index.on([INDEXED]);
  await index.around('2026-11-16');
  expect(index.take(pathAt('2026-11-15', 0))).toBeUndefined();
  expect(index.take(pathAt('2026-11-16', 0))).toBeDefined();
  await index.around('2026-11-17');
  expect(index.take(pathAt('2026-11-17', 1))).toBeDefined();
  expect(reads()).toBe(count);
  expect(await index.end()).toHaveLength(2 * PER_DAY - 2);
});
