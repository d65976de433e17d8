// What a verification found of each partition and day (by the date in the key): a row for whoever files it, with one
// checksum that says which objects of which content were there.
import { createHash, type Hash } from 'node:crypto';
import type { ArchiveObject } from '../catalog/catalog.ts';
import { pathOf } from '../catalog/manifest-content.ts';
import type { Finding } from '../finding.ts';

interface Day {
  readonly topic: string;
  readonly partition: number;
  readonly date: string;
}

/** One partition on one day. */
export interface DayResult extends Day {
  readonly objects: number;
  /** As stored. */
  readonly bytes: number;
  /** Of the objects whose count is known. */
  readonly messages: number;
  /** Objects whose count is not known. */
  readonly unknown: number;
  /**
   * SHA-256 of what `sha256sum` prints of these objects: a line for each, in the order of keys, with its checksum, two
   * spaces and its path below the prefix. `undefined` where the checksum of one is not known.
   */
  readonly sha256: string | undefined;
  /** Findings that are damage, and others. */
  readonly damage: number;
  readonly notices: number;
}

/** What a verification knows of an object. */
export interface VerifiedObject {
  readonly object: ArchiveObject;
  readonly messages: number | undefined;
  readonly sha256: string | undefined;
}

/** Counts objects by their days; give it those of a day one after the other, in the order of keys. */
export interface DayTally {
  add(verified: VerifiedObject): void;
  /** The days that have an object or one of these findings, in the order of topic, partition and date. */
  results(findings: readonly Finding[]): DayResult[];
}

type Counted = Omit<DayResult, 'damage' | 'notices' | 'sha256'> & { sha256: string | undefined };
type Counting = { -readonly [Name in keyof Counted]: Counted[Name] };

/** A tally of no days. */
export function createDayTally(): DayTally {
  const days = new Map<string, Counting>();
  let name: string | undefined;
  let hash: Hash | undefined;

  function endDay(): void {
    const day = name === undefined ? undefined : days.get(name);
    if (day !== undefined) day.sha256 = hash?.digest('hex');
    hash = undefined;
  }

  return {
    add({ object, messages, sha256 }) {
      const { topic, parts, key, sizeBytes } = object;
      const own = { topic, partition: parts.partition, date: parts.date };
      const ownName = dayName(own);
      const known = days.get(ownName);
      if (ownName !== name) {
        endDay();
        name = ownName;
        hash = known === undefined ? createHash('sha256') : undefined;
      }
      const day = known ?? { ...own, objects: 0, bytes: 0, messages: 0, unknown: 0, sha256: undefined };
      if (known === undefined) days.set(ownName, day);
      day.objects++;
      day.bytes += sizeBytes;
      day.messages += messages ?? 0;
      if (messages === undefined) day.unknown++;
      if (sha256 === undefined) hash = undefined;
      else hash?.update(`${sha256}  ${pathOf(key)}\n`);
    },
    results(findings) {
      endDay();
      name = undefined;
      const findingsOf = new Map<string, { damage: number; notices: number }>();
      for (const { key, severity } of findings) {
        const day = dayOf(key);
        if (day === undefined) continue;
        const ownName = dayName(day);
        const counts = findingsOf.get(ownName) ?? { damage: 0, notices: 0 };
        counts[severity === 'damage' ? 'damage' : 'notices']++;
        findingsOf.set(ownName, counts);
        if (!days.has(ownName))
          days.set(ownName, { ...day, objects: 0, bytes: 0, messages: 0, unknown: 0, sha256: undefined });
      }
      return [...days]
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .map(([ownName, day]) => ({ ...day, ...(findingsOf.get(ownName) ?? { damage: 0, notices: 0 }) }));
    },
  };
}

const dayName = ({ topic, partition, date }: Day): string =>
  `${topic} ${String(partition + 1).padStart(10, '0')} ${date}`;

/** The day of an object's key, or of a folder of objects. */
function dayOf(key: string): Day | undefined {
  const match = /([^/]+\/[^/]+\/[^/]+)\/date=(\d{4}-\d{2}-\d{2})\/partition=(none|\d+)\//.exec(key);
  if (match === null) return undefined;
  const [, topic, date, partition] = match as unknown as [string, string, string, string];
  return { topic: `persistent://${topic}`, partition: partition === 'none' ? -1 : Number(partition), date };
}
