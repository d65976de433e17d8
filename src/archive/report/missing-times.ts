// Where something is missing in an archive, placed in time, so that it can be drawn.
import { parseTime } from '../../format/record.ts';
import { type ArchiveObject, byPartition, type Catalog } from '../catalog.ts';
import { datesOf } from '../coverage.ts';
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

/** The gaps among the findings of the catalog, as far as it is reported when they were. */
export function placeGaps(catalog: Catalog, findings: readonly Finding[]): ReportGap[] {
  return [...missingObjects(catalog), ...gapsBetween(catalog.objects, findings)];
}

function missingObjects({ missing }: Catalog): ReportGap[] {
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

function gapsBetween(objects: readonly ArchiveObject[], findings: readonly Finding[]): ReportGap[] {
  const details = new Map(
    findings.filter(({ kind }) => kind === 'gap').map(({ key, detail }) => [key, detail]),
  );
  const gaps: ReportGap[] = [];
  for (const own of byPartition(objects).values()) {
    for (const [i, object] of own.entries()) {
      const detail = details.get(object.key);
      const [toMs] = datesOf(object.facts);
      if (detail === undefined || toMs === undefined) continue;
      const before = own[i - 1]?.facts;
      const fromMs = (before && datesOf(before).at(-1)) ?? toMs;
      const { topic, parts } = object;
      gaps.push({
        ...{ topic, partition: parts.partition, kind: 'gap', detail },
        fromMs: Math.min(fromMs, toMs),
        toMs,
      });
    }
  }
  return gaps;
}
