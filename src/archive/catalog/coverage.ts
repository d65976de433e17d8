// How the messages of an archive spread over time: for each partition, so many equal spans, and what falls into each. Times
// that no date from 1970 to 9999 holds are left out: all others would be in one span beside them.
import type { Span } from './date-groups.ts';

export interface Coverage {
  readonly fromMs: number;
  readonly toMs: number;
  readonly spanMs: number;
  readonly partitions: readonly PartitionCoverage[];
}

export interface PartitionCoverage {
  readonly partition: number;
  /** By span. Messages and bytes of an object are spread evenly from its first message to its last. */
  readonly messages: readonly number[];
  readonly bytes: readonly number[];
}

/** The coverage in `count` equal spans; `undefined` where there is nothing. */
export function coverageOf(spans: readonly Span[], count: number): Coverage | undefined {
  if (spans.length === 0) return undefined;
  let fromMs = Number.POSITIVE_INFINITY;
  let toMs = 0;
  for (const { firstMs, lastMs } of spans) {
    if (firstMs < fromMs) fromMs = firstMs;
    if (lastMs >= toMs) toMs = lastMs + 1;
  }
  const spanMs = (toMs - fromMs) / count;
  const partitions = new Map<number, { messages: number[]; bytes: number[] }>();
  for (const span of spans) {
    let own = partitions.get(span.partition);
    if (own === undefined) {
      own = { messages: new Array<number>(count).fill(0), bytes: new Array<number>(count).fill(0) };
      partitions.set(span.partition, own);
    }
    const first = Math.min(count - 1, Math.floor((span.firstMs - fromMs) / spanMs));
    const last = Math.max(first, Math.min(count - 1, Math.floor((span.lastMs - fromMs) / spanMs)));
    const share = 1 / (last - first + 1);
    for (let at = first; at <= last; at++) {
      own.messages[at] = (own.messages[at] as number) + span.messages * share;
      own.bytes[at] = (own.bytes[at] as number) + span.bytes * share;
    }
  }
  return {
    ...{ fromMs, toMs, spanMs },
    partitions: [...partitions].map(([partition, own]) => ({ partition, ...own })),
  };
}
