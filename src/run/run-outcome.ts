// The outcome of a run, also of one that fails halfway. Its summary is the function's return value, the last log
// line, and part of the manifest.
import type { DrainResult } from '../drain.ts';
import type { EndReason, Summary } from '../format/run-manifest.ts';
import type { Clock } from '../ports.ts';
import { createTally } from './run-context.ts';

/** Kept while the run goes on. */
export class RunOutcome {
  readonly startedAtMs: number;
  readonly tally = createTally();
  /** Known once draining is over. */
  drained: DrainResult | undefined;
  readonly #clock: Clock;
  readonly #rule: string;
  readonly #requestId: string;

  constructor(clock: Clock, startedAtMs: number, rule: string, requestId: string) {
    this.startedAtMs = startedAtMs;
    this.#clock = clock;
    this.#rule = rule;
    this.#requestId = requestId;
  }

  /** The summary as of now. */
  summarise<Reason extends EndReason>(stopReason: Reason): Summary<Reason> {
    const { tally, drained } = this;
    return {
      rule: this.#rule,
      requestId: this.#requestId,
      startedAt: new Date(this.startedAtMs).toISOString(),
      durationMs: this.#clock.now() - this.startedAtMs,
      stopReason,
      messages: tally.messages,
      recordBytes: tally.recordBytes,
      objects: tally.objects,
      alreadyStored: tally.alreadyStored,
      unreadable: tally.unreadable,
      ...(tally.subscriptionMoved === 0 ? {} : { subscriptionMoved: tally.subscriptionMoved }),
      ...(tally.schemasMissing === 0 ? {} : { schemasMissing: tally.schemasMissing }),
      ...(drained?.backlog === undefined ? {} : { backlog: drained.backlog }),
      ...(drained?.lingering === undefined ? {} : { lingering: drained.lingering }),
      ...(drained?.heldBack === undefined ? {} : { heldBack: drained.heldBack }),
      partitions: drained?.partitions ?? 0,
    };
  }
}

/** The summary as fields of a log line. Every line has rule and request id already. */
export function logFieldsOf<Reason extends EndReason>(summary: Summary<Reason>) {
  const { rule: _rule, requestId: _requestId, backlog, lingering, heldBack, partitions, ...counts } = summary;
  return {
    ...counts,
    backlogEntries: backlog?.entries,
    backlogMessages: backlog?.messages,
    backlogOldestPublishTime: backlog?.oldestPublishTime,
    lingeringMessages: lingering?.messages,
    lingeringOldestPublishTime: lingering?.oldestPublishTime,
    heldBack,
    partitions,
  };
}
