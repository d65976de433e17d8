// What a run records about itself: its summary and one entry per object. It is the history and the index that
// the read side asks first; never the truth, which is the objects.
import { crc64 } from '../lib/crc64.ts';
import type { CallOptions, ObjectStore } from '../ports.ts';
import { type DateSpan, dateOf, runManifestKey } from './object-key.ts';
import { isDate, parseTime } from './record.ts';

/** The `format` of a manifest. */
export const RUN_MANIFEST_FORMAT = 'tdmq-backup-run/1';

/** When the messages of an object were published, as formatTime writes it. */
export interface PublishTimes {
  readonly firstPublishTime: string;
  readonly lastPublishTime: string;
  /** Only where messages between the first and the last were published before both, or after. */
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
  /** CRC-64/XZ of the stored bytes, decimal; absent where the store did not report it. */
  readonly crc64?: string;
  /** SHA-256 of the stored bytes, hex; absent in manifests from before it was written. */
  readonly sha256?: string;
  /** Of the schemas that its messages mean (`schemaName`), as far as they are kept; absent where there are none. */
  readonly schemas?: readonly string[];
  /** It was there before this run. */
  readonly alreadyStored: boolean;
}

/** Messages that wait in the subscription, no part of its backlog: each run reads them again (FILE_LINGER_MINUTES). */
export interface Lingering {
  readonly messages: number;
  /** As formatTime writes it. */
  readonly oldestPublishTime: string;
}

/** How a run ended; `failed` only in the log line and the manifest of a run that threw. */
export type EndReason = 'caught_up' | 'deadline' | 'busy' | 'failed';

/** What a run came to: the last log line and the return value of the function. */
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
  /** What the subscription still had at the end besides what lingers, where the broker reports it. */
  readonly backlog?: {
    readonly messages?: number;
    readonly entries?: number;
    /** ISO 8601, UTC: how far behind the rule is. Known mostly where the run ended at its deadline. */
    readonly oldestPublishTime?: string;
  };
  /** What this run left in the subscription until it is old enough for a file; absent where that is nothing. */
  readonly lingering?: Lingering;
  /** Why the broker did not hand out what is left, where something is left and it is known. */
  readonly heldBack?: string;
  readonly partitions: number;
  /** In how many partitions somebody else has moved the subscription forwards; absent where it was none. */
  readonly subscriptionMoved?: number;
  /** How many versions of schemas messages name that could not be had; absent where it was none. */
  readonly schemasMissing?: number;
}

/** Where the subscription was in a partition; entries as `ledger:entry`, absent where it is not known. */
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

/** A subscription that was found elsewhere than the run before had left it. */
export interface SubscriptionMoved {
  readonly partition: number;
  readonly topic: string;
  /** `backwards`: messages come again. */
  readonly direction: 'forwards' | 'backwards';
  /** Up to where an earlier run is known to have acknowledged. */
  readonly from: string;
  readonly to: string;
  /** Forwards, where ids say it: so many entries at most are in no object. */
  readonly entriesAtMost?: number;
}

/** How a run follows on those before it. */
export interface ManifestLink {
  /** `persistent://tenant/namespace/topic` */
  readonly topic: string;
  readonly subscription: string;
  readonly subscriptionType: string;
  readonly positions: readonly ManifestPosition[];
  /** The newest manifest of the rule that the run saw at its start. */
  readonly previous?: { readonly key: string; readonly sha256?: string };
  /** Further ones that it saw and that the newest does not name: other instances left them. So each is named by one. */
  readonly beside?: readonly string[];
  /** The MD5 of their bytes by key, hex, where the store's list has it: to read them would be a request for each. */
  readonly besideMd5?: Readonly<Record<string, string>>;
  readonly moved?: readonly SubscriptionMoved[];
  /**
   * When the first run of the rule began since which keys of manifests name the days of messages that are out of their
   * date (`outOfDateSpan`). ISO 8601.
   */
  readonly spansInKeysSince?: string;
}

/** Raw bytes under `_unreadable/` that were decoded later. */
export interface RecoveredRaw {
  readonly raw: string;
  /** Keys of the objects that hold its messages; none where it had no messages. */
  readonly objects: readonly string[];
}

export interface RunManifest extends Summary, Partial<ManifestLink> {
  readonly format: typeof RUN_MANIFEST_FORMAT;
  readonly storedObjects: readonly ManifestObject[];
  /** Only where `archive recover` wrote it. */
  readonly recovered?: readonly RecoveredRaw[];
}

/** The `requestId` of a manifest that a command made: it is of no run. */
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
 * The days between the first and the last message of those objects that hold messages of a day further than one from the
 * date of their key. Who looks for a time lists the days around it, and finds such objects by the key of this manifest.
 */
function outOfDateSpan(objects: readonly ManifestObject[]): DateSpan | undefined {
  let span: DateSpan | undefined;
  for (const object of objects) {
    const { firstPublishTime, lastPublishTime, earliestPublishTime, latestPublishTime } = object;
    const ends = [parseTime(firstPublishTime), parseTime(lastPublishTime)];
    const between = [earliestPublishTime, latestPublishTime].flatMap((text) => parseTime(text ?? '') ?? []);
    // Times that no date holds are under the first or the last day, and say nothing of those between.
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
