// The end of a run's time: reading stops early enough to store what is open, storing early enough to have the last
// acknowledgement and to leave the manifest, everything early enough to close and to say so. How long a creation takes
// is measured in the run itself: with a slow store all of that is sooner.
import type { Clock } from '../ports.ts';
import type { RunTimes } from './run-plan.ts';

/** A creation, or an acknowledgement, takes seldom longer than so many average ones. */
const MARGIN = 2;
/** A broker that had less time than this to confirm an acknowledgement before the end cannot be blamed. */
const MAX_ANSWER_AGE_MS = 2_000;
/** How much the last measurement counts in the average: the store of now, and not that of the begin. */
const WEIGHT = 1 / 4;

/** What the core has to know of the time that is left. */
export interface Pace {
  /** As far as it is known now; it may come nearer, or further away again. */
  readonly stopReadingAtMs: number;
  /** Aborted then. */
  readonly reading: AbortSignal;
  /** Aborted when it is too late to create another object: what is left is for acknowledging, until the storing end. */
  readonly storing: AbortSignal;
  /** Aborted when nothing is asked any more that only the summary wants to know: the rest is the manifest's time. */
  readonly asking: AbortSignal;
  /** Whether a file that is begun now is likely to be stored in time. */
  hasTimeToStore(): boolean;
  /** Does it, and learns how long a creation takes. */
  measureCreation<T>(create: () => Promise<T>): Promise<T>;
  /** Does it, and learns how long an acknowledgement takes. */
  measureAcknowledgement<T>(acknowledge: () => Promise<T>): Promise<T>;
  /** Whether what was asked of the broker then, and has no answer at the end, had too little time for one. */
  isCutShort(askedAtMs: number): boolean;
  /** Is asked how many creations, one after the other, everything would take that is read and not stored. */
  onPlan(roundsToStore: () => number): void;
}

/** The ends of one run, from its bounds and what is measured. Call `close` at its end: it holds timers. */
export class Deadline implements Pace {
  readonly #clock: Clock;
  readonly #times: RunTimes;
  readonly #creation = new Average();
  readonly #acknowledgement = new Average();
  #roundsToStore = () => 0;
  readonly #reading: End;
  readonly #storing: End;
  readonly #asking: End;
  readonly #storingEnd: End;
  readonly #hardEnd: End;
  readonly #lastEnd: End;

  constructor(clock: Clock, times: RunTimes) {
    this.#clock = clock;
    this.#times = times;
    this.#reading = new End(clock, () => this.#planReading());
    this.#storing = new End(clock, () => this.#planStoring());
    this.#asking = new End(clock, () => this.#planManifest());
    this.#storingEnd = new End(clock, () => times.hardEndAtMs - times.minManifestMs);
    this.#hardEnd = new End(clock, () => times.hardEndAtMs);
    this.#lastEnd = new End(clock, () => times.lastEndAtMs);
  }

  get stopReadingAtMs(): number {
    return this.#reading.atMs;
  }

  get reading(): AbortSignal {
    return this.#reading.signal;
  }

  get storing(): AbortSignal {
    return this.#storing.signal;
  }

  get asking(): AbortSignal {
    return this.#asking.signal;
  }

  /** Aborted when the time for storing and acknowledging is over: what is left is the manifest's. */
  get storingEnd(): AbortSignal {
    return this.#storingEnd.signal;
  }

  /** Aborted when there is time left for closing only. */
  get hardEnd(): AbortSignal {
    return this.#hardEnd.signal;
  }

  /** Aborted when all has to be over, whatever hangs. */
  get lastEnd(): AbortSignal {
    return this.#lastEnd.signal;
  }

  hasTimeToStore(): boolean {
    return !this.storing.aborted && this.#clock.now() + this.#creation.ms <= this.#planStoring();
  }

  measureCreation<T>(create: () => Promise<T>): Promise<T> {
    return this.#measure(this.#creation, create);
  }

  measureAcknowledgement<T>(acknowledge: () => Promise<T>): Promise<T> {
    return this.#measure(this.#acknowledgement, acknowledge);
  }

  isCutShort(askedAtMs: number): boolean {
    return this.#clock.now() - askedAtMs < MAX_ANSWER_AGE_MS;
  }

  onPlan(roundsToStore: () => number): void {
    this.#roundsToStore = roundsToStore;
  }

  close(): void {
    for (const end of [...this.#planned(), this.#storingEnd, this.#hardEnd, this.#lastEnd]) end.forget();
  }

  /**
   * In time to store what is open then, with one creation to spare. Where reading stops too soon, a run gets nowhere: for
   * half of its time it reads.
   */
  #planReading(): number {
    const atMs = this.#planStoring() - (1 + this.#roundsToStore()) * this.#creation.ms;
    return Math.max(this.#times.earliestReadingEndAtMs, Math.min(this.#times.latestReadingEndAtMs, atMs));
  }

  #planStoring(): number {
    const acknowledgementMs = Math.max(this.#times.minAcknowledgementMs, MARGIN * this.#acknowledgement.ms);
    return this.#planManifest() - acknowledgementMs;
  }

  #planManifest(): number {
    const { minManifestMs, maxManifestMs, hardEndAtMs } = this.#times;
    const likelyMs = Math.min(maxManifestMs, MARGIN * this.#creation.ms);
    return hardEndAtMs - Math.max(minManifestMs, likelyMs);
  }

  #planned(): readonly End[] {
    return [this.#reading, this.#storing, this.#asking];
  }

  async #measure<T>(average: Average, call: () => Promise<T>): Promise<T> {
    const beganAtMs = this.#clock.now();
    const result = await call();
    average.add(this.#clock.now() - beganAtMs);
    for (const end of this.#planned()) end.replan();
    return result;
  }
}

class Average {
  #ms: number | undefined;

  /** 0 where nothing is known. */
  get ms(): number {
    return this.#ms ?? 0;
  }

  add(ms: number): void {
    this.#ms = this.#ms === undefined ? ms : this.#ms + WEIGHT * (ms - this.#ms);
  }
}

/** A signal that is aborted at a planned time. */
class End {
  /** When it is aborted, if the plan stays. */
  atMs: number;
  readonly #clock: Clock;
  readonly #plan: () => number;
  readonly #end = new AbortController();
  #timer = new AbortController();

  constructor(clock: Clock, plan: () => number) {
    this.#clock = clock;
    this.#plan = plan;
    this.atMs = plan();
    this.#wait();
  }

  get signal(): AbortSignal {
    return this.#end.signal;
  }

  /** The plan may have changed. */
  replan(): void {
    const isNearer = this.#plan() < this.atMs;
    // Where it has moved away, the timer finds that out.
    if (!isNearer || this.signal.aborted) return;
    this.#timer.abort();
    this.#timer = new AbortController();
    this.#wait();
  }

  forget(): void {
    this.#timer.abort();
  }

  #wait(): void {
    this.atMs = this.#plan();
    const { atMs } = this;
    const waitMs = Math.max(0, atMs - this.#clock.now());
    this.#clock.sleep(waitMs, this.#timer.signal).then(
      () => (this.#plan() > atMs ? this.#wait() : this.#end.abort()),
      () => undefined,
    );
  }
}
