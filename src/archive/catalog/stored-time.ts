// When an object was stored. The store's time is exact in the rule's own bucket; copies often lose it, and then the
// run's manifest gives the latest possible time. Never guesses: an object counts as stored only once it certainly
// was.
import { isDate, parseTime } from '../../format/record.ts';
import type { ManifestObject } from '../../format/run-manifest.ts';

/** The clocks of the function and of COS differ by less. */
const CLOCKS_DIFFER_MS = 60_000;
/** The clocks of producers may be ahead of both. */
const PRODUCERS_AHEAD_MS = 3_600_000;

/** When a run was, in milliseconds. */
export interface RunTimes {
  readonly startedMs: number;
  readonly endedMs: number;
}

/** An object as it was read in a manifest, with the times of the run; without them where no run left the manifest. */
export interface ObjectOfRun extends ManifestObject {
  readonly run?: RunTimes;
}

interface Stored {
  readonly manifest: ObjectOfRun | undefined;
  readonly lastModified?: Date | undefined;
}

/**
 * When an object was there at the latest, in milliseconds: the time that the store has of it if that is within the run that
 * stored it; else the end of that run, as the manifest has it. Without a manifest, the store's time.
 */
export function storedAtMs({ manifest, lastModified }: Stored): number {
  const modifiedMs = lastModified?.getTime() ?? Number.POSITIVE_INFINITY;
  const run = manifest?.run;
  if (manifest === undefined || run === undefined) return modifiedMs;
  const { startedMs, endedMs } = run;
  const earliestMs = manifest.alreadyStored
    ? publishedMs(manifest) - PRODUCERS_AHEAD_MS
    : startedMs - CLOCKS_DIFFER_MS;
  const isOfStore = modifiedMs >= earliestMs && modifiedMs <= endedMs + CLOCKS_DIFFER_MS;
  return isOfStore ? modifiedMs : endedMs;
}

/** An object that an earlier run had stored is no older than its messages. */
function publishedMs({ lastPublishTime }: ManifestObject): number {
  const timeMs = parseTime(lastPublishTime);
  return timeMs !== undefined && isDate(timeMs) ? timeMs : 0;
}
