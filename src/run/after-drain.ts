// The steps after the drain: writes the manifest, and aborts the unfinished uploads of killed runs.
import type { RuleConfig } from '../config.ts';
import type { DrainResult } from '../drain.ts';
import { topicFolder } from '../format/object-key.ts';
import { type ManifestLink, storeRunManifest } from '../format/run-manifest.ts';
import { isOfClock } from '../paced-store.ts';
import type { Logger, ObjectStore, UnfinishedUpload } from '../ports.ts';
import type { RunOutcome } from './run-outcome.ts';

/**
 * No run uses an unfinished upload older than this: it is the longest time-out of a function, and longer runs
 * complete their uploads earlier (MAX_UPLOAD_AGE_MS).
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
 * Writes the manifest. A failed run keeps its own error instead of the manifest's; and if only the time ran out, the
 * stored objects are safe, and `archive index` can write the manifest later. @throws BackupError `store` if the run
 * stored objects and the store refused the manifest
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
    const hint = 'What is stored is safe. `tdmq-backup archive index` writes the manifest.';
    logger.warn({ error, hint }, 'run manifest not stored');
  }
}

/** The unfinished uploads of killed runs in the bucket, or why listing them failed. */
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

/** They cost money and nobody sees them. A missing permission to list or abort them does not fail the run. */
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
