// The deadlines of a run: reading stops early enough to store the open files, storing early enough to receive the
// last acknowledgement and write the manifest, and everything early enough to close and log the end. The run measures
// how long creations take: with a slow store all of these are earlier.
import type { Clock } from '../ports.ts';
import type { RunTimes } from './run-plan.ts';

/** A creation, or an acknowledgement, rarely takes longer than so many average ones. */
const MARGIN = 2;
/** A missing receipt is no failure of the broker if it had less time than this before the end. */
const MAX_ANSWER_AGE_MS = 2_000;
/** The weight of the last measurement in the average, so that the average follows the store's current speed. */
const WEIGHT = 1 / 4;

/** What the core needs to know about the remaining time. */
export interface Pace {
  /** As currently planned; it can become earlier or later. */
  readonly stopReadingAtMs: number;
  /** Aborted then. */
  readonly reading: AbortSignal;
  /**
   * Aborted when it is too late to create another object: the rest, until the storing end, is for acknowledgements.
   */
  readonly storing: AbortSignal;
  /** Aborted when requests that only the summary needs have to stop: the rest is for the manifest. */
  readonly asking: AbortSignal;
  /** Whether a file opened now is likely to be stored in time. */
  hasTimeToStore(): boolean;
  /** Runs a creation and measures its duration. */
  measureCreation<T>(create: () => Promise<T>): Promise<T>;
  /** Runs an acknowledgement and measures its duration. */
  measureAcknowledgement<T>(acknowledge: () => Promise<T>): Promise<T>;
  /** Whether a request at that time, unanswered at the end, had too little time for an answer. */
  isCutShort(askedAtMs: number): boolean;
  /** Receives a function that returns how many consecutive creations the unstored messages would take. */
  onPlan(roundsToStore: () => number): void;
}

/** The deadlines of one run, from its limits and measurements. Call `close` at its end: it holds timers. */
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

  /** Aborted when the time for storing and acknowledging is over: the rest is for the manifest. */
  get storingEnd(): AbortSignal {
    return this.#storingEnd.signal;
  }

  /** Aborted when there is only time left to close. */
  get hardEnd(): AbortSignal {
    return this.#hardEnd.signal;
  }

  /** Aborted when everything has to end, even if something hangs. */
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
   * Early enough to store the open files, with one creation to spare. But a run that stops reading too early makes no
   * progress, so it reads for at least half of its time.
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
    // If it has become later, the timer finds that out.
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
