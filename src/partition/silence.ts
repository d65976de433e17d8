// A partition is silent: whether that is its end, why the broker keeps something back, and how long to wait. The one
// place that decides it; it takes no entry, and stores nothing by itself.
import { BackupError } from '../errors.ts';
import { untilAborted } from '../lib/until-aborted.ts';
import type { Delivery, HeldBackReason, SourcePartition } from '../ports.ts';

/** Where the end of the backlog is known, the broker is asked after so long a silence, and then every second. */
const FIRST_QUESTION_MS = 500;
const QUESTION_EVERY_MS = 1_000;
/** A broker may hold back more until what is open is acknowledged: after so long a silence, it is sealed for that. */
const SEAL_AFTER_MS = 5_000;
/** Without order: brokers can be slow to hand out again what a consumer had that is gone. */
const UNEXPLAINED_AFTER_MS = 3_000;
/** After so long a silence, a run ends although there is a backlog, and nothing says why it does not come. */
const STALLED_AFTER_MS = 20_000;
/** Where the end is not known, a receive this long without anything ends the partition. */
const IDLE_UNKNOWN_END_MS = 1_000;

/** What the drain of the partition has under way, as far as a silence concerns it. */
export interface UnderWay {
  /** Entries that it has and has not put in line to be acknowledged. */
  openEntries(): number;
  /** Whether they may stay unacknowledged at the end. */
  mayLinger(): boolean;
  /** Whether a file or an acknowledgement is under way. */
  isBusy(): boolean;
  /** Resolves when all that is in line is acknowledged, or failed. */
  settle(): Promise<void>;
  /** Whether it would drop what is read now. */
  isInterrupted(): boolean;
  rollAndAcknowledge(): Promise<void>;
}

/** The silences of one partition. */
export class Silence {
  readonly #partition: SourcePartition;
  readonly #isInOrder: boolean;
  readonly #reading: AbortSignal;
  readonly #underWay: UnderWay;
  /** For so long nothing has come. */
  #quietMs = 0;
  /** Deliveries of stored entries, repeated ones too. */
  #received = 0;
  /** The end that the broker reported is reached, and the subscription had more at the start. */
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

  /** Why the broker did not hand out what was left. */
  get reasons(): readonly HeldBackReason[] {
    return this.#reasons;
  }

  /** How many entries that were, where the broker reports it. */
  get entries(): number | undefined {
    return this.#entries;
  }

  /** So many entries of incomplete chunked messages are acknowledged. The driver logs those that are left. */
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
   * In order, where it is known what the run covers, or the driver can say why nothing comes: a silence alone is no end,
   * it may be that of a slow broker.
   */
  get #isBounded(): boolean {
    return this.#isInOrder && (this.#partition.end !== 'unknown' || this.#partition.canExplainSilence);
  }

  /**
   * The end that the broker reported is reached. Brokers before 2.10.6 / 2.11.4 take it from the compacted ledger, where
   * the last messages may be missing (apache/pulsar#21969): then what the subscription had at the start is the bound.
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

  /** After `behind`: that is no silence. Without order, the broker may hold back more until what is open is acknowledged. */
  async whileBehind(): Promise<void> {
    if (!this.#isInOrder && this.#hasToSeal && !this.#partition.hasArrivals())
      await this.#underWay.rollAndAcknowledge();
  }

  /** After `idle`. Where the end is not known that is the end, with nothing open any more. */
  async isEnd(): Promise<boolean> {
    // A broker may hold back more until what is on its way is acknowledged.
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

  /** Whether something is open that has to be acknowledged before the end. */
  get #hasToSeal(): boolean {
    return this.#underWay.openEntries() > 0 && !this.#underWay.mayLinger();
  }

  /** Nothing is known but the silence. What is open is sealed and acknowledged first: only then it may be the end. */
  async #isQuietFor(ms: number): Promise<boolean> {
    if (this.#quietMs < ms) return false;
    if (this.#underWay.openEntries() === 0) return true;
    this.#quietMs = 0;
    await this.#underWay.rollAndAcknowledge();
    return false;
  }

  /** There is a backlog, and nothing says why it does not come. */
  async #isStalled(missing: number): Promise<boolean> {
    if (this.#underWay.openEntries() > 0) {
      await this.#isQuietFor(SEAL_AFTER_MS);
      return false;
    }
    // Behind the end that the broker reported it may be none at all: brokers count entries of deleted ledgers.
    if (this.#quietMs < (this.#isBeyondEnd ? SEAL_AFTER_MS : STALLED_AFTER_MS)) return false;
    return this.#ends(['unknown'], missing);
  }

  /** Without order a silence is the end, unless the driver finds something by it; what is left then is only reported. */
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

  /** The silence is the end, and why; unless something came while that was found out. */
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
