// How the messages of an archive lie in time: for each partition, so many equal spans, and what falls into each. Times
// that no date from 1970 to 9999 holds are left out: all others would be in one span beside them.

import { byPartition, type ObjectFacts } from './catalog.ts';
import { datesOf } from './object-facts.ts';

export interface Coverage {
  readonly fromMs: number;
  readonly toMs: number;
  readonly spanMs: number;
  readonly partitions: readonly PartitionCoverage[];
}

export interface PartitionCoverage {
  readonly topic: string;
  readonly partition: number;
  /** By span. Messages and bytes of an object are spread evenly from its first message to its last. */
  readonly messages: readonly number[];
  readonly bytes: readonly number[];
}

/** An object, or several as if they were one. */
export interface CoveredObject {
  readonly topic: string;
  readonly sizeBytes: number;
  readonly parts: { readonly partition: number };
  readonly facts: Pick<ObjectFacts, 'messages' | 'firstPublishTimeMs' | 'lastPublishTimeMs'>;
}

/** The coverage in `spans` equal spans; `undefined` where no object reports its times. */
export function coverageOf(objects: readonly CoveredObject[], spans: number): Coverage | undefined {
  const timed = objects.filter(({ facts }) => datesOf(facts).length > 0);
  if (timed.length === 0) return undefined;
  const fromMs = timed.reduce((least, one) => Math.min(least, startOf(one)), Number.POSITIVE_INFINITY);
  const toMs = timed.reduce((most, one) => Math.max(most, endOf(one)), 0) + 1;
  const spanMs = (toMs - fromMs) / spans;
  const partitions = [...byPartition(timed).values()].map((own) => {
    const messages = new Array<number>(spans).fill(0);
    const bytes = new Array<number>(spans).fill(0);
    for (const object of own) {
      const first = Math.min(spans - 1, Math.floor((startOf(object) - fromMs) / spanMs));
      const last = Math.max(first, Math.min(spans - 1, Math.floor((endOf(object) - fromMs) / spanMs)));
      const share = 1 / (last - first + 1);
      for (let span = first; span <= last; span++) {
        messages[span] = (messages[span] as number) + (object.facts.messages ?? 1) * share;
        bytes[span] = (bytes[span] as number) + object.sizeBytes * share;
      }
    }
    const { topic, parts } = own[0] as CoveredObject;
    return { topic, partition: parts.partition, messages, bytes };
  });
  return { fromMs, toMs, spanMs, partitions };
}

const startOf = ({ facts }: CoveredObject): number => datesOf(facts)[0] as number;
/** Where the end is not known, the beginning: nothing is drawn that nobody said. */
const endOf = ({ facts }: CoveredObject): number => Math.max(...datesOf(facts));
