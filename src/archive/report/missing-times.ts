// Where something is missing in an archive, placed in time, so that it can be drawn.
import { parseTime } from '../../format/record.ts';
import type { ManifestObject } from '../../format/run-manifest.ts';
import { datesOf } from '../catalog/object-facts.ts';
import type { ObjectRange } from '../catalog/object-ranges.ts';
import type { Finding } from '../finding.ts';

/** A place without messages that had some. */
export interface ReportGap {
  readonly topic: string;
  readonly partition: number;
  /** `missing`: an object that a manifest names. `gap`: entries between two objects. */
  readonly kind: 'missing' | 'gap';
  readonly fromMs: number;
  readonly toMs: number;
  /** One sentence for a person. */
  readonly detail: string;
}

/** Objects that are not there, as far as it is reported when their messages were published. */
export function missingObjects(missing: readonly ManifestObject[]): ReportGap[] {
  return missing.flatMap(({ key, partition, messages, firstPublishTime, lastPublishTime }) => {
    const dates = datesOf({
      firstPublishTimeMs: parseTime(firstPublishTime),
      lastPublishTimeMs: parseTime(lastPublishTime),
    });
    const [fromMs] = dates;
    const [tenant, namespace, topic] = key.split('/').slice(-6);
    if (fromMs === undefined) return [];
    return [
      {
        topic: `persistent://${tenant}/${namespace}/${topic}`,
        partition,
        kind: 'missing' as const,
        fromMs,
        toMs: Math.max(...dates),
        detail: `${key} is missing, with ${messages} messages`,
      },
    ];
  });
}

/** A partition's objects in order, and of each, by its place, when its first and its last message were published; NaN: unknown. */
export interface TimedRanges {
  readonly topic: string;
  readonly partition: number;
  inOrder(): Iterable<ObjectRange>;
  readonly firstMs: readonly number[];
  readonly lastMs: readonly number[];
}

/** The gaps among the findings, in one partition, as far as it is reported when they were. */
export function gapsBetween(
  { topic, partition, inOrder, firstMs, lastMs }: TimedRanges,
  findings: readonly Finding[],
): ReportGap[] {
  const details = new Map(
    findings.filter(({ kind }) => kind === 'gap').map(({ key, detail }) => [key, detail]),
  );
  if (details.size === 0) return [];
  const gaps: ReportGap[] = [];
  let beforeMs = Number.NaN;
  for (const { key, place } of inOrder()) {
    const detail = details.get(key);
    const toMs = firstMs[place] as number;
    if (detail !== undefined && !Number.isNaN(toMs)) {
      const fromMs = Number.isNaN(beforeMs) ? toMs : Math.min(beforeMs, toMs);
      gaps.push({ topic, partition, kind: 'gap', detail, fromMs, toMs });
    }
    beforeMs = lastMs[place] as number;
  }
  return gaps;
}
