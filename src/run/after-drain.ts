// What a run does once it has drained: it leaves its manifest, and aborts the unfinished uploads of killed runs.
import type { RuleConfig } from '../config.ts';
import type { DrainResult } from '../drain.ts';
import { topicFolder } from '../format/object-key.ts';
import { type ManifestLink, storeRunManifest } from '../format/run-manifest.ts';
import { isOfClock } from '../paced-store.ts';
import type { Logger, ObjectStore, UnfinishedUpload } from '../ports.ts';
import type { RunOutcome } from './run-outcome.ts';

/**
 * An unfinished upload older than this belongs to nobody any more: it is the longest time-out of a function, and a run
 * that lasts longer completes its uploads before (MAX_UPLOAD_AGE_MS).
 */
const ORPHAN_AGE_MS = 900_000;

export interface AfterDrain {
  readonly config: RuleConfig;
  readonly store: ObjectStore;
  readonly logger: Logger;
  readonly outcome: RunOutcome;
  /** Ends every call. */
  readonly signal: AbortSignal;
}

/**
 * Stores the history of the run. A run that failed has a better reason to fail with than its manifest; and where only
 * the clock is to blame, what was stored is safe, and the index can be made anew.
 * @throws BackupError `store` where the store refused the manifest of what was stored
 */
export async function leaveManifest(
  { config, store, logger, outcome, signal }: AfterDrain,
  result: DrainResult,
  link: ManifestLink,
): Promise<void> {
  const { tally } = outcome;
  const summary = outcome.summarise(result.failure === undefined ? result.stopReason : 'failed');
  const retriedBefore = tally.lastRetried;
  try {
    await storeRunManifest(store, config.cos.prefix, { ...summary, link }, tally.stored, { signal });
  } catch (error) {
    const refusal = tally.lastRetried === retriedBefore ? undefined : tally.lastRetried;
    const isCut = isOfClock(error, signal);
    const isRefused = !isCut || refusal !== undefined;
    if (result.failure === undefined && tally.stored.length > 0 && isRefused) throw isCut ? refusal : error;
    const hint = 'What is stored is safe. `tdmq-backup archive index` writes the manifest anew.';
    logger.warn({ error, hint }, 'run manifest not stored');
  }
}

/** What a look at the bucket for unfinished uploads of killed runs has found, or why it failed. */
export type Orphans = { readonly uploads: readonly UnfinishedUpload[]; readonly failure?: unknown };

/** Looks for them; aborts none. Never throws. */
export async function findOrphans({ config, store, signal }: Omit<AfterDrain, 'outcome'>): Promise<Orphans> {
  const uploads: UnfinishedUpload[] = [];
  try {
    const folder = topicFolder(config.cos.prefix, config.pulsar.topic);
    for await (const upload of store.listUploads(folder, { signal }))
      if (upload.ageMs > ORPHAN_AGE_MS) uploads.push(upload);
    return { uploads };
  } catch (failure) {
    return { uploads, failure };
  }
}

/** They cost money and are seen by nobody. Not being allowed to look, or to abort, is no failure of the run. */
export async function abortOrphans(
  { store, logger, signal }: Omit<AfterDrain, 'config' | 'outcome'>,
  orphans: Orphans,
): Promise<void> {
  const warn = (error: unknown): void => {
    if (!signal.aborted) logger.warn({ error }, 'orphaned uploads not cleaned up');
  };
  try {
    for (const { key, uploadId, initiated } of orphans.uploads) {
      await store.abortUpload(key, uploadId, { signal });
      logger.info({ key, initiated: initiated.toISOString() }, 'orphaned upload aborted');
    }
    if (orphans.failure !== undefined) warn(orphans.failure);
  } catch (error) {
    warn(error);
  }
}
