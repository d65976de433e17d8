// Why a broker hands out nothing of a backlog. Probes the topic: reads the next entry as a reader of its own, which
// acknowledges nothing. It gives a reason only where what it found leaves no other.
import { formatEntry, isUpTo } from '../../format/entry-order.ts';
import type { Clock, EntryId, HeldBackReason } from '../../ports.ts';
import { findKeptChunks } from './kept-chunks.ts';
import { decodeMessage } from './protocol/codec.ts';
import type { StoredEntry } from './protocol/entry-decoder.ts';
import { isChunk } from './protocol/entry-metadata.ts';
import { isServerError } from './protocol/server-error.ts';
import { FRAME } from './protocol/tables.ts';
import { readTopic, type TopicReaderOptions } from './topic-reader.ts';

/** After so long a silence a probe is worth its cost. */
const PROBE_AFTER_MS = 1_500;
/**
 * What does not come for so long is kept from the subscription: by then two probes agree, of which the first may have
 * met a broker that was only slow.
 */
const KEPT_FROM_US_AFTER_MS = 2_500;
/**
 * A probe begins so many entries before the position. Brokers pass over a batch of no messages, unless they read it
 * together with others, and the first that a reader gets is often read alone (ManagedCursorImpl.applyMaxSizeCap).
 */
const ENTRIES_BEFORE = 4;
/** Before every message of a topic. */
const EARLIEST: EntryId = { ledgerId: 0, entryId: -1 };

/** What is to be known of an entry, without its bytes: partitions that are held back keep it for long. */
interface NextEntry {
  readonly id: EntryId;
  readonly deliverAtTime: number | bigint | undefined;
  readonly isChunk: boolean;
}

/**
 * What a probe finds behind a position: the next entry with messages; or only entries up to the position (`end`); or
 * nothing at all, which proves nothing. `passedOver`: entries without messages before that.
 */
type ProbeResult = (
  | { readonly kind: 'entry'; readonly entry: NextEntry }
  | { readonly kind: 'end' | 'nothing' }
) & { readonly passedOver: readonly StoredEntry[] };

/** What the probe knows of its partition. */
export interface HeldBackProbeOptions extends TopicReaderOptions {
  readonly isOrdered: boolean;
  /** Of the chunks of one message. */
  readonly limitBytes: number;
  /** The last entry that came or was acknowledged. */
  readonly position: () => EntryId | undefined;
  /** How many entries wait for the rest of their chunked messages. */
  readonly incompleteChunks: () => number;
  /** How many of these belong to messages that did not fit into memory. */
  readonly leftOutChunks: () => number;
  /** Hands out entries without messages, which brokers pass over where they are read alone; each once. */
  readonly onPassedOver: (entry: StoredEntry) => void;
}

/** Explains the silence of one partition. */
export class HeldBackProbe {
  readonly #options: HeldBackProbeOptions;
  /** The next entry with messages; kept until something comes. */
  #next: NextEntry | undefined;
  /** A broker that refuses a reader is not asked for one again. */
  #isRefused = false;
  /** What the probe before found, and where, if that was no entry with messages. */
  #foundBefore: string | undefined;
  /** The last entry without messages that was handed out: a hole before it may keep it in sight once it is acknowledged. */
  #passedOverThrough: EntryId | undefined;
  #hasTransactions: Promise<boolean> | undefined;
  /** What comes while a probe is under way proves it wrong. */
  #arrivals = 0;

  constructor(options: HeldBackProbeOptions) {
    this.#options = options;
  }

  /** Something came: what was found before is out of date. */
  reset(): void {
    this.#next = undefined;
    this.#foundBefore = undefined;
    this.#arrivals++;
  }

  /** Why `entries` do not come that are to come; `undefined`: they may yet. @throws BackupError `source` */
  async reasons(entries: number, quietMs: number): Promise<readonly HeldBackReason[] | undefined> {
    const chunks = this.#options.incompleteChunks();
    const leftOut = this.#options.leftOutChunks();
    const known: HeldBackReason[] = chunks > leftOut ? ['incomplete chunks'] : [];
    if (leftOut > 0) known.push('too little memory');
    if (entries <= chunks) return known;
    const other = await this.#otherReason(entries, quietMs);
    return other === undefined ? undefined : [...known, other];
  }

  /** The next entry with messages behind `position`, as far as a reader gets it at once. Never throws. */
  async nextBehind(position: EntryId): Promise<EntryId | undefined> {
    const finding = await this.#probe(position).catch(() => undefined);
    return finding?.kind === 'entry' ? finding.entry.id : undefined;
  }

  /** Without order: see kept-chunks.ts. @throws BackupError `source` */
  async keptChunks(): Promise<readonly StoredEntry[]> {
    return this.#isRefused ? [] : findKeptChunks(this.#options, this.#options.limitBytes);
  }

  async #otherReason(entries: number, quietMs: number): Promise<HeldBackReason | undefined> {
    const { isOrdered } = this.#options;
    const position = await this.#position();
    const isLast = await this.#isLast(position);
    const isEarly = isOrdered && quietMs < PROBE_AFTER_MS;
    if (isEarly && (!isLast || (await this.#brokerHasTransactions()))) return undefined;
    const arrivals = this.#arrivals;
    const finding = await this.#probeUnlessRefused(position ?? EARLIEST);
    if (finding !== undefined && position !== undefined && this.#handOut(finding.passedOver))
      return undefined;
    if (arrivals !== this.#arrivals) return undefined;
    const isGone = isLast && finding !== undefined && (await this.#isGone(position, finding));
    if (isGone) return 'none to deliver';
    if (!isOrdered) return finding === undefined ? 'unknown' : this.#withoutOrder(finding);
    if (position === undefined || finding === undefined) return undefined;
    if (finding.kind === 'entry') this.#next = finding.entry;
    // With nothing before it either, that others get nothing is no proof.
    const isNothing = finding.kind === 'nothing' && position.entryId >= 0;
    const isAgreed = this.#foundBefore === textOf(position, finding);
    this.#foundBefore = textOf(position, finding);
    if (isNothing || quietMs < KEPT_FROM_US_AFTER_MS) return undefined;
    if (finding.kind !== 'entry' && !isAgreed && !(await this.#isFoundAgain(position, finding)))
      return undefined;
    if (await this.#brokerHasTransactions()) return 'open transaction';
    return hasNoReader(position, finding, entries) ? 'unknown' : undefined;
  }

  /** Whether another probe agrees: the broker may have been only slow to read for the first. */
  async #isFoundAgain(position: EntryId, finding: ProbeResult): Promise<boolean> {
    const again = await this.#probeUnlessRefused(position);
    return again !== undefined && textOf(position, again) === textOf(position, finding);
  }

  /** The broker knows of no message behind `position`: whether the probe agrees, and no transaction may hide one. */
  async #isGone(position: EntryId | undefined, { kind, passedOver }: ProbeResult): Promise<boolean> {
    // With no position at all: what is there may be acknowledged, so only nothing says anything.
    if (position === undefined) return kind === 'nothing' && passedOver.length === 0;
    if (kind === 'entry' || passedOver.length > 0) return false;
    return (kind === 'nothing' && position.entryId >= 0) || !(await this.#brokerHasTransactions());
  }

  #withoutOrder(finding: ProbeResult): HeldBackReason {
    if (finding.kind !== 'entry') return 'unknown';
    if (isLater(finding.entry.deliverAtTime, this.#options.clock)) return 'delayed messages';
    return finding.entry.isChunk ? 'incomplete chunks' : 'unknown';
  }

  /** Whether there was any that was not handed out before. */
  #handOut(passedOver: readonly StoredEntry[]): boolean {
    const through = this.#passedOverThrough;
    const fresh = passedOver.filter(({ id }) => through === undefined || !isUpTo(id, through));
    for (const entry of fresh) this.#options.onPassedOver(entry);
    this.#passedOverThrough = fresh.at(-1)?.id ?? through;
    return fresh.length > 0;
  }

  /** Whether the broker knows of no message behind `position`; without one, whether it knows of no last message. */
  async #isLast(position: EntryId | undefined): Promise<boolean> {
    try {
      const { last } = await this.#options.consumer().lastPositions();
      return last === undefined || (position !== undefined && isUpTo(last, position));
    } catch (error) {
      // Brokers of 2.7, where the ledger of the last message is deleted, and all before it.
      if (isServerError(error, 'MetadataError')) return true;
      throw error;
    }
  }

  #brokerHasTransactions(): Promise<boolean> {
    this.#hasTransactions ??= this.#options
      .consumer()
      .hasTransactions()
      .catch(() => false);
    return this.#hasTransactions;
  }

  /** `undefined`: the broker does not report it, and nothing has come. */
  async #position(): Promise<EntryId | undefined> {
    const { isOrdered, consumer, position } = this.#options;
    if (isOrdered) return position();
    try {
      return (await consumer().lastPositions()).acknowledged;
    } catch (error) {
      if (!isServerError(error, 'MetadataError')) throw error;
      return undefined;
    }
  }

  /** `undefined`: the broker refuses a reader, or ended it too early. */
  async #probeUnlessRefused(position: EntryId): Promise<ProbeResult | undefined> {
    if (this.#next !== undefined) return { kind: 'entry', entry: this.#next, passedOver: [] };
    if (this.#isRefused) return undefined;
    try {
      return await this.#probe(position);
    } catch {
      this.#isRefused = true;
      return undefined;
    }
  }

  /** `undefined`: it was cut short. */
  async #probe(position: EntryId): Promise<ProbeResult | undefined> {
    let kind: 'end' | 'nothing' = 'nothing';
    let next: NextEntry | undefined;
    const passedOver: StoredEntry[] = [];
    const from = { ...position, entryId: Math.max(0, position.entryId - ENTRIES_BEFORE) };
    const isReadThrough = await readTopic(this.#options, { from, permits: ENTRIES_BEFORE + 2 }, (entry) => {
      if (isUpTo(entry.id, position)) kind = 'end';
      else if (entry.permits === 0) passedOver.push(entry);
      else next = { id: entry.id, deliverAtTime: deliverAtTimeOf(entry), isChunk: isChunk(entry.metadata) };
      return next !== undefined;
    });
    if (next !== undefined) return { kind: 'entry', entry: next, passedOver };
    return isReadThrough ? { kind, passedOver } : undefined;
  }
}

function deliverAtTimeOf({ raw, payloadStart }: StoredEntry): number | bigint | undefined {
  const start = raw.length >= 6 && raw.readUInt16BE(0) === FRAME.checksumMagic ? 10 : 4;
  try {
    return decodeMessage('MessageMetadata', raw, start, payloadStart).deliverAtTime;
  } catch {
    return undefined;
  }
}

/** Whether no reader gets any of `entries`: as batches of no messages that begin their ledger. */
function hasNoReader(position: EntryId, finding: ProbeResult, entries: number): boolean {
  if (finding.kind !== 'entry') return true;
  // It may be acknowledged: what is left may be right behind the position, where the reader got nothing.
  const { ledgerId, entryId } = finding.entry.id;
  return ledgerId === position.ledgerId && entryId - position.entryId - 1 >= entries;
}

const textOf = (position: EntryId, { kind }: ProbeResult): string => `${kind} ${formatEntry(position)}`;

const isLater = (timeMs: number | bigint | undefined, clock: Clock): boolean =>
  timeMs !== undefined && Number(timeMs) > clock.now();
