// What a verification found of each partition and day (by the date in the key): a row for whoever files it, with one
// checksum that says which objects of which content were there.
import { createHash } from 'node:crypto';
import type { ArchiveObject } from '../catalog.ts';
import type { Finding } from '../finding.ts';
import { pathOf } from '../manifest-index.ts';

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

/** What is known of an object after it was verified. */
export interface VerifiedObject {
  readonly object: ArchiveObject;
  readonly messages: number | undefined;
  readonly sha256: string | undefined;
}

/** The days of all partitions that have an object or a finding, in the order of topic, partition and date. */
export function resultsByDay(verified: readonly VerifiedObject[], findings: readonly Finding[]): DayResult[] {
  const days = new Map<string, Day & { readonly own: VerifiedObject[] }>();
  const told = new Map<string, { damage: number; notices: number }>();
  for (const { key, severity } of findings) {
    const day = dayOf(key);
    if (day === undefined) continue;
    const name = dayName(day);
    const counts = told.get(name) ?? { damage: 0, notices: 0 };
    counts[severity === 'damage' ? 'damage' : 'notices']++;
    told.set(name, counts);
    if (!days.has(name)) days.set(name, { ...day, own: [] });
  }
  for (const one of verified) {
    const { topic, parts } = one.object;
    const day = { topic, partition: parts.partition, date: parts.date };
    const known = days.get(dayName(day));
    if (known !== undefined) known.own.push(one);
    else days.set(dayName(day), { ...day, own: [one] });
  }
  return [...days]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, { own, ...day }]) => ({
      ...day,
      objects: own.length,
      bytes: own.reduce((sum, { object }) => sum + object.sizeBytes, 0),
      messages: own.reduce((sum, { messages = 0 }) => sum + messages, 0),
      unknown: own.filter(({ messages }) => messages === undefined).length,
      sha256: digestOf(own),
      ...(told.get(name) ?? { damage: 0, notices: 0 }),
    }));
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

function digestOf(own: readonly VerifiedObject[]): string | undefined {
  const hash = createHash('sha256');
  for (const { sha256, object } of own.toSorted((a, b) => (a.object.key < b.object.key ? -1 : 1))) {
    if (sha256 === undefined) return undefined;
    hash.update(`${sha256}  ${pathOf(object.key)}\n`);
  }
  return own.length === 0 ? undefined : hash.digest('hex');
}
