// The record that a run leaves behind: its summary and one entry per object. It is the history and the index that
// the read side asks first; never the truth, which is the objects.
import { crc64 } from './crc64.ts';
import { runManifestKey } from './object-key.ts';
import type { CallOptions, ObjectStore } from './ports.ts';
import type { ManifestObject } from './run.ts';

/** What stands in `format` of a manifest. */
export const RUN_MANIFEST_FORMAT = 'tdmq-backup-run/1';

/** What a run came to: the last log line and the return value of the function. */
export interface Summary {
  readonly rule: string;
  readonly requestId: string;
  /** ISO 8601, UTC. */
  readonly startedAt: string;
  readonly durationMs: number;
  /** `failed` only in the log line and the manifest of a run that threw. */
  readonly stopReason: 'caught_up' | 'deadline' | 'busy' | 'failed';
  /** Stored by this run. */
  readonly messages: number;
  /** Uncompressed. */
  readonly recordBytes: number;
  readonly objects: number;
  /** Found from an earlier run that could not acknowledge them. */
  readonly alreadyStored: number;
  readonly unreadable: number;
  /** What the subscription still had at the end, where the broker tells it. */
  readonly backlog?: {
    readonly messages?: number;
    readonly entries?: number;
    /** ISO 8601, UTC: how far behind the rule is. Known mostly where the run ended at its deadline. */
    readonly oldestPublishTime?: string;
  };
  /** Why the broker did not hand out what is left, where something is left and it is known. */
  readonly heldBack?: string;
  readonly partitions: number;
}

export interface RunManifest extends Summary {
  readonly format: typeof RUN_MANIFEST_FORMAT;
  readonly storedObjects: readonly ManifestObject[];
}

/** Stores the manifest of a run; returns its key. @throws BackupError `store` */
export async function storeRunManifest(
  store: ObjectStore,
  prefix: string,
  summary: Summary,
  objects: readonly ManifestObject[],
  options: CallOptions,
): Promise<string> {
  const key = runManifestKey(prefix, summary.rule, Date.parse(summary.startedAt), summary.requestId);
  const manifest: RunManifest = { format: RUN_MANIFEST_FORMAT, ...summary, storedObjects: objects };
  const bytes = Buffer.from(`${JSON.stringify(manifest)}\n`);
  const metadata = { format: RUN_MANIFEST_FORMAT, rule: summary.rule };
  const body = { chunks: [bytes], sizeBytes: bytes.length };
  await store.create(key, body, crc64([bytes]), { metadata, contentType: 'application/json' }, options);
  return key;
}
