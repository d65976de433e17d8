// Selects the manifests of a copy: unchanged, so that each still has the checksum that the next one contains, and all
// of the days between the first and the last that list a copied object, so that the chain has no hole.
import { readWhole } from '../../format/stored-object.ts';
import type { CallOptions, ObjectStore } from '../../ports.ts';
import { daysAfter } from '../catalog/listing.ts';
import { parseManifest, pathOf } from '../catalog/manifest-content.ts';
import type { KeySet } from './key-set.ts';

/** UTC days, both included. */
export interface Days {
  readonly from: string;
  readonly until: string;
}

interface Rule {
  readonly folder: string;
  /** Ascending. */
  readonly dates: readonly string[];
}

export interface ManifestsToCopy {
  /** `undefined`: of all days. */
  readonly days: Days | undefined;
  keys(): AsyncGenerator<string, void, undefined>;
}

/**
 * The manifests of the rules of these topics (full names; `undefined`: of all). `objects`: paths of copied objects, which
 * they have to name, and how many there are; `around`: where to look first. @throws BackupError `store`
 */
export async function manifestsToCopy(
  store: ObjectStore,
  prefix: string,
  topics: readonly string[] | undefined,
  wanted: { readonly objects: KeySet; readonly count: number; readonly around: Days } | undefined,
  call: CallOptions,
): Promise<ManifestsToCopy> {
  const base = `${prefix}_runs/`;
  const strays: string[] = [];
  const rules: Rule[] = [];
  for await (const { kind, key } of store.listFolder(base, call)) {
    if (kind === 'object') {
      strays.push(key);
      continue;
    }
    const dates: string[] = [];
    for await (const item of store.listFolder(key, call)) {
      const date = /^date=(\d{4}-\d{2}-\d{2})\/$/.exec(item.key.slice(key.length))?.[1];
      if (date !== undefined) dates.push(date);
      else if (item.kind === 'object') strays.push(item.key);
    }
    const rule = { folder: key, dates };
    if (topics === undefined || (await isOf(rule, topics))) rules.push(rule);
  }

  async function isOf({ folder, dates }: Rule, names: readonly string[]): Promise<boolean> {
    for (const [date, at] of [[dates[0], 0] as const, [dates.at(-1), -1] as const]) {
      const key = date === undefined ? undefined : (await keysOf(folder, date)).at(at);
      if (key === undefined) continue;
      const manifest = parseManifest(await readWhole(store, key, call));
      if (manifest === undefined || manifest.topics.size === 0) return true;
      for (const name of manifest.topics.keys()) if (names.includes(name)) return true;
    }
    return false;
  }

  async function keysOf(folder: string, date: string): Promise<string[]> {
    const keys: string[] = [];
    for await (const { key } of store.list(`${folder}date=${date}/`, call)) keys.push(key);
    return keys;
  }

  async function findDays(of: NonNullable<typeof wanted>): Promise<Days> {
    const { objects, around } = of;
    const dates = [...new Set(rules.flatMap((rule) => rule.dates))].sort();
    let left = of.count;
    let days: Days | undefined;
    const look = async (date: string) => {
      for (const { folder, dates: own } of rules) {
        if (!own.includes(date)) continue;
        for (const key of await keysOf(folder, date))
          for (const object of parseManifest(await readWhole(store, key, call))?.objects ?? []) {
            const path = pathOf(object.key);
            const isNew = !objects.isTaken(path);
            if (!objects.take(path)) continue;
            if (isNew) left--;
            days = {
              from: days === undefined || date < days.from ? date : days.from,
              until: days === undefined || date > days.until ? date : days.until,
            };
          }
      }
    };
    const isNear = (date: string) => date >= daysAfter(around.from, -1) && date <= daysAfter(around.until, 1);
    for (const date of dates.filter(isNear)) await look(date);
    // Runs store what was published before, seldom what is published later.
    const behind = dates.filter((date) => date > daysAfter(around.until, 1));
    const before = dates.filter((date) => date < daysAfter(around.from, -1)).reverse();
    for (const date of [...behind, ...before]) if (left > 0) await look(date);
    return days ?? around;
  }

  const days = wanted === undefined ? undefined : await findDays(wanted);
  return {
    days,
    async *keys() {
      yield* strays;
      for (const { folder, dates } of rules)
        for (const date of dates)
          if (days === undefined || (date >= days.from && date <= days.until))
            yield* await keysOf(folder, date);
    },
  };
}
