// What a storage class means for the objects of a rule: how long they are paid for, from which size, and what reading them
// takes (Tencent Cloud's pages 436/33417 and 436/40099). It knows no prices.
import { type CheckResult, ok } from '../../rules/check-result.ts';

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

/** Says what the class of the rule means. */
export function checkStorageClass(storageClass: string): CheckResult {
  const { days, leastKiB, reading } =
    MEANINGS[storageClass.replace(/^MAZ_/, '')] ?? (MEANINGS['STANDARD'] as Meaning);
  const least = days === 0 ? 'no least time or size' : `paid for ${days} days and ${leastKiB} KB at least`;
  return ok(
    'storage class',
    `${storageClass}: each object is ${days === 0 ? 'stored with ' : ''}${least}; ${reading}`,
  );
}
