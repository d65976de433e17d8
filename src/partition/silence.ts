// Decides what the silence of a partition means: whether it is the end, why the broker holds messages back, and how
// long to wait. It reads no entry, and stores nothing itself.
import { BackupError } from '../errors.ts';
import { untilAborted } from '../lib/until-aborted.ts';
import type { Delivery, HeldBackReason, SourcePartition } from '../ports.ts';

/** If the end of the backlog is known, the broker is asked after this silence, and then every second. */
const FIRST_QUESTION_MS = 500;
const QUESTION_EVERY_MS = 1_000;
/**
 * A broker may hold back messages until earlier ones are acknowledged: after this silence, the open file is sealed.
 */
const SEAL_AFTER_MS = 5_000;
/** Without order: brokers can be slow to redeliver the messages of a disconnected consumer. */
const UNEXPLAINED_AFTER_MS = 3_000;
/** After this silence, a run ends despite a backlog, even without an explanation. */
const STALLED_AFTER_MS = 20_000;
/** If the end is not known, this silence ends the partition. */
const IDLE_UNKNOWN_END_MS = 1_000;

/** The work in progress in the partition that matters for a silence. */
export interface UnderWay {
  /** Entries that it has read and not queued for acknowledgement. */
  openEntries(): number;
  /** Whether they may stay unacknowledged at the end. */
  mayLinger(): boolean;
  /** Whether a file or an acknowledgement is under way. */
  isBusy(): boolean;
  /** Resolves when everything queued is acknowledged, or failed. */
  settle(): Promise<void>;
  /** Whether it would drop entries read now. */
  isInterrupted(): boolean;
  rollAndAcknowledge(): Promise<void>;
}

/** The silences of one partition. */
export class Silence {
  readonly #partition: SourcePartition;
  readonly #isInOrder: boolean;
  readonly #reading: AbortSignal;
  readonly #underWay: UnderWay;
  /** How long nothing has arrived. */
  #quietMs = 0;
  /** Deliveries of stored entries, including redeliveries. */
  #received = 0;
  /** The reported end is reached, but the subscription had more entries at the start. */
  #isBeyondEnd = false;
  #reasons: readonly HeldBackReason[] = [];
  #entries: number | undefined = 0;

  /** `reading`: aborted when reading has to stop. */
  constructor(partition: SourcePartition, isInOrder: boolean, reading: AbortSignal, underWay: UnderWay) {
    this.#partition = partition;
    this.#isInOrder = isInOrder;
    this.#reading = reading;
    this.#underWay = underWay;
  }

  /** Why the broker did not deliver the rest. */
  get reasons(): readonly HeldBackReason[] {
    return this.#reasons;
  }

  /** The number of these entries, if the broker reports it. */
  get entries(): number | undefined {
    return this.#entries;
  }

  /** How many entries of incomplete chunked messages are acknowledged. The driver logs the remaining ones. */
  gaveUp(entries: number): void {
    if (this.#entries !== undefined) this.#entries -= entries;
    this.#reasons = this.#reasons.filter((one) => one !== 'incomplete chunks');
  }

  /** How long to wait for the next delivery. */
  get idleMs(): number {
    if (!this.#isBounded) return IDLE_UNKNOWN_END_MS;
    return this.#quietMs === 0 ? FIRST_QUESTION_MS : QUESTION_EVERY_MS;
  }

  /** A delivery came, or `idle` after `waitedMs`. */
  heard(delivery: Delivery, waitedMs: number): void {
    if (delivery.kind === 'idle') this.#quietMs += waitedMs;
    else this.#quietMs = 0;
    if (isStored(delivery)) this.#received++;
  }

  /**
   * With an order, and if the end of the run is known or the driver can explain the silence: silence alone is not the
   * end, since the broker may be slow.
   */
  get #isBounded(): boolean {
    return this.#isInOrder && (this.#partition.end !== 'unknown' || this.#partition.canExplainSilence);
  }

  /**
   * The reported end is reached. Brokers before 2.10.6 / 2.11.4 take it from the compacted ledger, where the last
   * messages may be missing (apache/pulsar#21969): then the number of entries at the start is the limit.
   */
  async isAtEnd(): Promise<boolean> {
    const atOpen = await this.#partition.entriesAtOpen();
    if (!this.#isInOrder || atOpen === undefined || this.#received >= atOpen) return true;
    if (this.#isBeyondEnd) return false;
    this.#isBeyondEnd = true;
    await this.#underWay.settle();
    const left = await this.#left();
    return left !== undefined && left <= this.#underWay.openEntries();
  }

  /**
   * After `behind`: not a silence. Without order, the broker may hold back messages until the open file is
   * acknowledged.
   */
  async whileBehind(): Promise<void> {
    if (!this.#isInOrder && this.#hasToSeal && !this.#partition.hasArrivals())
      await this.#underWay.rollAndAcknowledge();
  }

  /** After `idle`. If the end is not known, this is the end, once nothing is open. */
  async isEnd(): Promise<boolean> {
    // A broker may hold back messages until those in progress are acknowledged.
    const wasBusy = this.#underWay.isBusy();
    await this.#underWay.settle();
    if (this.#partition.hasArrivals()) return false;
    const open = this.#underWay.openEntries();
    if (!this.#isBounded) {
      if (this.#hasToSeal) await this.#underWay.rollAndAcknowledge();
      else return !wasBusy && (await this.#isExplained());
      return false;
    }
    const left = await this.#left();
    if (this.#reading.aborted || this.#underWay.isInterrupted()) return false;
    if (left === undefined) {
      if (!(await this.#isQuietFor(SEAL_AFTER_MS))) return false;
      return this.#ends(['unknown'], undefined);
    }
    const missing = left - open;
    if (missing > 0 && wasBusy) return false;
    const reasons = missing <= 0 ? [] : await this.#askReasons(missing);
    if (reasons === undefined) return await this.#isStalled(missing);
    if (this.#hasToSeal) {
      await this.#underWay.rollAndAcknowledge();
      // The broker may have more by now.
      if ((await this.#left()) !== Math.max(0, missing)) return false;
    }
    return this.#ends(reasons, missing);
  }

  /** Whether open entries have to be acknowledged before the end. */
  get #hasToSeal(): boolean {
    return this.#underWay.openEntries() > 0 && !this.#underWay.mayLinger();
  }

  /** Only the silence is known. The open file is sealed and acknowledged first: only then it can be the end. */
  async #isQuietFor(ms: number): Promise<boolean> {
    if (this.#quietMs < ms) return false;
    if (this.#underWay.openEntries() === 0) return true;
    this.#quietMs = 0;
    await this.#underWay.rollAndAcknowledge();
    return false;
  }

  /** There is a backlog without an explanation. */
  async #isStalled(missing: number): Promise<boolean> {
    if (this.#underWay.openEntries() > 0) {
      await this.#isQuietFor(SEAL_AFTER_MS);
      return false;
    }
    // After the reported end there may be no entry at all: brokers count entries of deleted ledgers.
    if (this.#quietMs < (this.#isBeyondEnd ? SEAL_AFTER_MS : STALLED_AFTER_MS)) return false;
    return this.#ends(['unknown'], missing);
  }

  /** Without order a silence is the end, unless the driver then finds something; the rest is only reported. */
  async #isExplained(): Promise<boolean> {
    const left = this.#isInOrder ? undefined : await this.#left();
    if (left === undefined || left === 0) return this.#ends([], 0);
    const reasons = await this.#askReasons(left);
    const isKnown = reasons !== undefined && !reasons.includes('unknown');
    if (!isKnown && this.#partition.canExplainSilence && this.#quietMs < UNEXPLAINED_AFTER_MS) return false;
    return this.#ends(reasons ?? ['unknown'], left);
  }

  #askReasons(missing: number): Promise<readonly HeldBackReason[] | undefined> {
    const reasons = this.#partition.heldBack(missing, this.#quietMs);
    return untilAborted(reasons, this.#reading, noAnswer).catch(() => undefined);
  }

  /** The silence is the end, with its reason, unless something arrived in the meantime. */
  #ends(reasons: readonly HeldBackReason[], entries: number | undefined): boolean {
    if (this.#partition.hasArrivals()) return false;
    this.#reasons = reasons;
    this.#entries = reasons.length === 0 ? 0 : entries;
    return true;
  }

  /** How many entries the subscription has left, those in open files included. */
  async #left(): Promise<number | undefined> {
    const backlog = await untilAborted(this.#partition.backlog(), this.#reading, noAnswer).catch((error) => {
      if (!this.#reading.aborted) throw error;
    });
    return backlog?.entries ?? backlog?.messages;
  }
}

/** Whether it is, or is part of, what the broker stores. */
const isStored = ({ kind }: Delivery): boolean =>
  kind === 'entry' || kind === 'unreadable' || kind === 'pending';

/** The run ends, and a broker has not answered. */
export const noAnswer = () =>
  new BackupError('source', 'the broker did not answer before the run had to end', {
    retryable: true,
    hint: 'Look at the broker if it happens often; the next run goes on from what is stored.',
  });
