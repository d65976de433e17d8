// An earlier report as a witness: what it saw has to be there still. So the newest manifests can be missed, too, which
// nothing in the archive itself names.
import { BackupError } from '../../errors.ts';
import type { TopicName } from '../../topic-name.ts';
import { manifestPath } from '../catalog/manifest-link.ts';
import type { KnownHead } from '../chain/follow-runs.ts';
import { damage, type Finding } from '../finding.ts';
import type { DayResult } from './day-tally.ts';

type EarlierDay = Pick<DayResult, 'topic' | 'partition' | 'date' | 'objects'> & {
  readonly sha256?: string | undefined;
};

export interface EarlierReport {
  readonly heads: readonly KnownHead[];
  readonly days: readonly EarlierDay[];
  /** For people. */
  readonly name: string;
}

/** Reads the JSON of `verify --report`, or of `verify --json`. @throws BackupError `config` where it is none */
export function parseEarlier(text: string, name: string): EarlierReport {
  let report: { format?: unknown; chain?: { heads?: unknown }; days?: unknown } | null = null;
  try {
    report = JSON.parse(text);
  } catch {
    // It is refused below.
  }
  if (
    report?.format !== 'tdmq-backup-verify/1' ||
    !Array.isArray(report.chain?.heads) ||
    !Array.isArray(report.days)
  )
    throw new BackupError('config', `${name} is no report of archive verify`, {
      hint: 'Name the JSON file that archive verify --report wrote.',
    });
  const heads = report.chain.heads as { key: unknown; sha256: unknown }[];
  return {
    name,
    days: report.days as EarlierDay[],
    heads: heads.flatMap(({ key, sha256 }) => {
      const path = manifestPath(key);
      return path === undefined ? [] : [{ path, sha256: String(sha256), saidBy: `the report ${name}` }];
    }),
  };
}

/** What there was more of, or what was another. A day may have more since: killed runs go on, entries are recovered. */
export function compareDays(
  earlier: EarlierReport,
  days: readonly DayResult[],
  prefix: string,
  { topic, from = '' }: { readonly topic: TopicName | undefined; readonly from: string | undefined },
): Finding[] {
  const nameOf = ({ topic: of, partition, date }: EarlierDay) => `${of} ${partition} ${date}`;
  const now = new Map(days.map((day) => [nameOf(day), day]));
  return earlier.days.flatMap((before): Finding[] => {
    if ((topic !== undefined && before.topic !== topic.full) || before.date < from) return [];
    const { objects = 0, sha256 } = now.get(nameOf(before)) ?? {};
    const partition = before.partition < 0 ? 'none' : before.partition;
    const key = `${prefix}${before.topic.replace('persistent://', '')}/date=${before.date}/partition=${partition}/`;
    if (objects < before.objects)
      return [
        damage(key, 'missing', `${objects} objects are there, and ${earlier.name} saw ${before.objects}`),
      ];
    const isOther = objects === before.objects && sha256 !== undefined && before.sha256 !== undefined;
    if (!isOther || sha256 === before.sha256) return [];
    return [
      damage(key, 'checksum', `its objects are not those that ${earlier.name} saw: SHA-256 ${before.sha256}`),
    ];
  });
}
