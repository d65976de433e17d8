// The manifest of a run: its summary and one entry per object. It is the history, and the index that commands read
// first; the objects remain the source of truth.
import { crc64 } from '../lib/crc64.ts';
import type { CallOptions, ObjectStore } from '../ports.ts';
import { type DateSpan, dateOf, runManifestKey } from './object-key.ts';
import { isDate, parseTime } from './record.ts';

/** The `format` of a manifest. */
export const RUN_MANIFEST_FORMAT = 'tdmq-backup-run/1';

/** The publish times of an object's messages, as by formatTime. */
export interface PublishTimes {
  readonly firstPublishTime: string;
  readonly lastPublishTime: string;
  /** Only if messages between the first and the last were published before both, or after. */
  readonly earliestPublishTime?: string;
  readonly latestPublishTime?: string;
}

/** One object in the run's manifest. */
export interface ManifestObject extends PublishTimes {
  readonly key: string;
  readonly partition: number;
  readonly messages: number;
  readonly recordBytes: number;
  /** Of the stored bytes. */
  readonly size: number;
  readonly firstId: string;
  readonly lastId: string;
  /** CRC-64/XZ of the stored bytes, decimal; absent if the store did not report it. */
  readonly crc64?: string;
  /** SHA-256 of the stored bytes, hex; absent in manifests of early versions. */
  readonly sha256?: string;
  /** The stored schemas of its messages (`schemaName`); absent if there are none. */
  readonly schemas?: readonly string[];
  /** It was there before this run. */
  readonly alreadyStored: boolean;
}

/** Lingering messages, which the backlog does not include: each run reads them again (FILE_LINGER_MINUTES). */
export interface Lingering {
  readonly messages: number;
  /** As formatTime writes it. */
  readonly oldestPublishTime: string;
}

/** How a run ended; `failed` only in the log line and the manifest of a run that threw. */
export type EndReason = 'caught_up' | 'deadline' | 'busy' | 'failed';

/** The summary of a run: the last log line and the return value of the function. */
export interface Summary<Reason extends EndReason = EndReason> {
  readonly rule: string;
  readonly requestId: string;
  /** ISO 8601, UTC. */
  readonly startedAt: string;
  readonly durationMs: number;
  readonly stopReason: Reason;
  /** Stored by this run. */
  readonly messages: number;
  /** Uncompressed. */
  readonly recordBytes: number;
  readonly objects: number;
  /** Found from an earlier run that could not acknowledge them. */
  readonly alreadyStored: number;
  readonly unreadable: number;
  /** The backlog at the end without lingering messages, if the broker reports it. */
  readonly backlog?: {
    readonly messages?: number;
    readonly entries?: number;
    /** ISO 8601, UTC: how far behind the rule is. Mostly known only if the run ended at its deadline. */
    readonly oldestPublishTime?: string;
  };
  /** The messages that linger after this run; absent if there are none. */
  readonly lingering?: Lingering;
  /** Why the broker did not deliver the backlog, if there is one and the reason is known. */
  readonly heldBack?: string;
  readonly partitions: number;
  /** The number of partitions in which somebody else moved the subscription forwards; absent if none. */
  readonly subscriptionMoved?: number;
  /** The number of schema versions whose schema was not available; absent if none. */
  readonly schemasMissing?: number;
}

/** The subscription's positions in a partition; entries as `ledger:entry`, absent if not known. */
export interface ManifestPosition {
  /** -1 where the topic is not partitioned. */
  readonly partition: number;
  /** When the run began: everything up to here was acknowledged. */
  readonly begin?: string;
  /** When the run ended. */
  readonly end?: string;
  /** The partition's last message when the run ended. */
  readonly last?: string;
}

/** A subscription whose position had changed since the previous run. */
export interface SubscriptionMoved {
  readonly partition: number;
  readonly topic: string;
  /** `backwards`: messages come again. */
  readonly direction: 'forwards' | 'backwards';
  /** The position up to which an earlier run is known to have acknowledged. */
  readonly from: string;
  readonly to: string;
  /** Forwards, if the ids show it: the largest possible number of entries in no object. */
  readonly entriesAtMost?: number;
}

/** How a run follows on earlier ones. */
export interface ManifestLink {
  /** `persistent://tenant/namespace/topic` */
  readonly topic: string;
  readonly subscription: string;
  readonly subscriptionType: string;
  readonly positions: readonly ManifestPosition[];
  /** The newest manifest of the rule that the run saw at its start. */
  readonly previous?: { readonly key: string; readonly sha256?: string };
  /**
   * Other manifests that it saw and that the newest does not list: other instances wrote them. So each manifest is
   * listed by one other.
   */
  readonly beside?: readonly string[];
  /** The MD5 of their bytes by key, hex, if the store's list has it: reading them would cost a request each. */
  readonly besideMd5?: Readonly<Record<string, string>>;
  readonly moved?: readonly SubscriptionMoved[];
  /**
   * When the first run of the rule began that writes the days of out-of-date messages (`outOfDateSpan`) into manifest
   * keys. ISO 8601.
   */
  readonly spansInKeysSince?: string;
}

/** A raw entry under `_unreadable/` that was decoded later. */
export interface RecoveredRaw {
  readonly raw: string;
  /** Keys of the objects with its messages; none if it had no messages. */
  readonly objects: readonly string[];
}

export interface RunManifest extends Summary, Partial<ManifestLink> {
  readonly format: typeof RUN_MANIFEST_FORMAT;
  readonly storedObjects: readonly ManifestObject[];
  /** Only if `archive recover` wrote it. */
  readonly recovered?: readonly RecoveredRaw[];
}

/** The `requestId` of a manifest that a command wrote, not a run. */
export const COMMAND_REQUEST_IDS = { index: 'archive-index', recover: 'archive-recover' } as const;

/** Stores the manifest of a run; returns its key. @throws BackupError `store` */
export async function storeRunManifest(
  store: ObjectStore,
  prefix: string,
  { link, ...summary }: Summary & { readonly link?: ManifestLink },
  objects: readonly ManifestObject[],
  options: CallOptions,
  recovered?: readonly RecoveredRaw[],
): Promise<string> {
  const span = link?.spansInKeysSince === undefined ? undefined : outOfDateSpan(objects);
  const key = runManifestKey(prefix, summary.rule, Date.parse(summary.startedAt), summary.requestId, span);
  const manifest: RunManifest = {
    format: RUN_MANIFEST_FORMAT,
    ...summary,
    ...link,
    storedObjects: objects,
    ...(recovered && { recovered }),
  };
  const bytes = Buffer.from(`${JSON.stringify(manifest)}\n`);
  const metadata = { format: RUN_MANIFEST_FORMAT, rule: summary.rule };
  const body = { chunks: [bytes], sizeBytes: bytes.length };
  const attributes = { metadata, contentType: 'application/json', isReadByRuns: true };
  await store.create(key, body, crc64([bytes]), attributes, options);
  return key;
}

const DAY_MS = 86_400_000;

/**
 * The days from the first to the last message of objects with messages more than a day from the date of their key. A
 * command that searches for a time lists the days around it, and finds such objects by the key of this manifest.
 */
function outOfDateSpan(objects: readonly ManifestObject[]): DateSpan | undefined {
  let span: DateSpan | undefined;
  for (const object of objects) {
    const { firstPublishTime, lastPublishTime, earliestPublishTime, latestPublishTime } = object;
    const ends = [parseTime(firstPublishTime), parseTime(lastPublishTime)];
    const between = [earliestPublishTime, latestPublishTime].flatMap((text) => parseTime(text ?? '') ?? []);
    // Times outside 1970 to 9999 are under the first or the last day, and extend no range.
    const isAstray = ends.some((timeMs) => timeMs === undefined || !isDate(timeMs));
    const days = isAstray ? EVER : [...ends, ...between].map((timeMs) => dateOf(timeMs as number)).sort();
    const [from, until] = [days[0] as string, days.at(-1) as string];
    const ownMs = Date.parse(dateOf(ends[0] ?? 0));
    if (from >= dateOf(ownMs - DAY_MS) && until <= dateOf(ownMs + DAY_MS)) continue;
    span = {
      from: span === undefined || from < span.from ? from : span.from,
      until: span === undefined || until > span.until ? until : span.until,
    };
  }
  return span;
}

const EVER = [dateOf(0), dateOf(Number.POSITIVE_INFINITY)];
