// The effects of a storage class on a rule's objects: minimum billed time and size, and how they can be read (Tencent
// Cloud's pages 436/33417 and 436/40099). It knows no prices.
import type { RuleSettings } from '../../config.ts';
import { type CheckResult, ok, warn } from '../../rules/check-result.ts';

interface Meaning {
  /** Days that an object is paid for at least, whenever it is removed. */
  readonly days: number;
  /** Smaller objects are paid for as if they were that large. */
  readonly leastKiB: number;
  readonly reading: string;
}

const THAW = 'objects have to be thawed before they can be read (tdmq-backup archive thaw)';

const MEANINGS: Readonly<Record<string, Meaning>> = {
  STANDARD: { days: 0, leastKiB: 0, reading: 'reading costs requests and traffic alone' },
  STANDARD_IA: { days: 30, leastKiB: 64, reading: 'each GB that is read costs extra' },
  INTELLIGENT_TIERING: {
    days: 30,
    leastKiB: 64,
    reading: `each object costs its monitoring; in an archive tier of the bucket ${THAW}`,
  },
  ARCHIVE: {
    days: 90,
    leastKiB: 64,
    reading: `each GB that is thawed costs extra, and ${THAW}: minutes to 12 hours`,
  },
  DEEP_ARCHIVE: {
    days: 180,
    leastKiB: 64,
    reading: `each GB and each object that is thawed costs extra, and ${THAW}: 12 to 48 hours`,
  },
};

const meaningOf = (storageClass: string): Meaning =>
  MEANINGS[storageClass.replace(/^MAZ_/, '')] ?? (MEANINGS['STANDARD'] as Meaning);

/** Says what the class of the rule means. */
export function checkStorageClass(storageClass: string): CheckResult {
  const { days, leastKiB, reading } = meaningOf(storageClass);
  const least = days === 0 ? 'no least time or size' : `paid for ${days} days and ${leastKiB} KB at least`;
  return ok(
    'storage class',
    `${storageClass}: each object is ${days === 0 ? 'stored with ' : ''}${least}; ${reading}`,
  );
}

const DAY_MINUTES = 1_440;

/**
 * How many objects the rule leaves in a day, and what its topic has to get so that they are not paid for as larger than
 * they are. `partitions`: where it is known.
 */
export function checkObjectSize(
  { cos, file, run, pulsar }: Pick<RuleSettings, 'cos' | 'file' | 'run' | 'pulsar'>,
  partitions: number | undefined,
): CheckResult[] {
  const { leastKiB } = meaningOf(cos.storageClass);
  if (leastKiB === 0) return [];
  const { lingerMinutes } = file;
  // The first run stores that finds a message old which came right behind the run before.
  const minutes = (Math.floor(lingerMinutes / run.intervalMinutes) + 1) * run.intervalMinutes;
  const count = partitions ?? 1;
  const objects = Math.round((count * DAY_MINUTES) / minutes);
  const bytesPerSecond = (count * leastKiB * 1_024) / (minutes * 60);
  const of =
    partitions === undefined ? 'each partition' : `${count} ${count === 1 ? 'partition' : 'partitions'}`;
  const cause = `${of}, an object every ${minutes} minutes: up to ${objects.toLocaleString('en-US')} a day, paid for as ${formatMb(objects * leastKiB)} at least; an object is smaller than ${leastKiB} KB where the topic gets less than ${formatRate(bytesPerSecond)}${partitions === undefined ? ' for each partition' : ''}`;
  if (lingerMinutes > 0) return [ok('object size', cause)];
  const isOrdered = pulsar.subscriptionType === 'exclusive' || pulsar.subscriptionType === 'failover';
  const fewer = isOrdered
    ? 'FILE_LINGER_MINUTES=60 or more leaves fewer and larger ones'
    : 'a longer interval leaves fewer';
  return [warn('object size', cause, `If it gets less, ${fewer}; STANDARD has no least size.`)];
}

const formatMb = (kib: number): string => `${Math.ceil(kib / 1_024).toLocaleString('en-US')} MB`;

const formatRate = (bytesPerSecond: number): string =>
  bytesPerSecond < 1_024
    ? `${Math.ceil(bytesPerSecond)} bytes a second`
    : `${(bytesPerSecond / 1_024).toFixed(1)} KB a second`;
