// What a restore counts while it publishes: of one topic, and of several together.
import type { Message, TimeMs } from '../../ports.ts';

/** What was restored of one topic. */
export interface RestoreCounts {
  /** Handed to the broker; with no publisher: what would be. */
  messages: number;
  /** Payloads. */
  bytes: number;
  /** The payload of the largest message. */
  largestBytes: number;
  /** Copies of messages that are in two objects. */
  duplicates: number;
  /** Published by an earlier try. */
  skipped: number;
  objects: number;
  /** Raw entries that were handed to the broker; with no publisher: would be. */
  rawEntries: number;
  /** Published without the schema that their records name, since it is not known. */
  withoutSchema: number;
  /** Raw entries that no broker would take. */
  readonly refused: { readonly key: string; readonly reason: string }[];
  /** By partition of the archive and of the target, `0 → 2`. */
  readonly routes: Map<string, RouteCounts>;
}

export interface RouteCounts {
  messages: number;
  bytes: number;
  firstPublishTimeMs: TimeMs;
  lastPublishTimeMs: TimeMs;
}

/** Nothing yet. */
export const noCounts = (): RestoreCounts => ({
  ...{ messages: 0, bytes: 0, largestBytes: 0, duplicates: 0, skipped: 0, objects: 0, rawEntries: 0 },
  withoutSchema: 0,
  refused: [],
  routes: new Map(),
});

/** Whether there was nothing to publish. */
export const isNone = ({ messages, skipped, rawEntries, refused }: RestoreCounts): boolean =>
  messages + skipped + rawEntries + refused.length === 0;

const COUNTED = [
  'messages',
  'bytes',
  'duplicates',
  'skipped',
  'objects',
  'rawEntries',
  'withoutSchema',
] as const;

/** Several topics as one; their routes are left out, which are of one topic each. */
export function sumCounts(all: readonly RestoreCounts[]): RestoreCounts {
  const sum = noCounts();
  for (const one of all) {
    for (const name of COUNTED) sum[name] += one[name];
    sum.largestBytes = Math.max(sum.largestBytes, one.largestBytes);
    sum.refused.push(...one.refused);
  }
  return sum;
}

/** Counts a message that takes this route. */
export function countMessage(counts: RestoreCounts, name: string, message: Message, size: number): void {
  const { publishTimeMs } = message;
  counts.messages++;
  counts.bytes += size;
  if (size > counts.largestBytes) counts.largestBytes = size;
  const route = counts.routes.get(name);
  if (route === undefined) {
    const times = { firstPublishTimeMs: publishTimeMs, lastPublishTimeMs: publishTimeMs };
    counts.routes.set(name, { messages: 1, bytes: size, ...times });
    return;
  }
  route.messages++;
  route.bytes += size;
  if (publishTimeMs < route.firstPublishTimeMs) route.firstPublishTimeMs = publishTimeMs;
  if (publishTimeMs > route.lastPublishTimeMs) route.lastPublishTimeMs = publishTimeMs;
}
