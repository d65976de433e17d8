// The order of test files: those that take longest begin first, so that none of them is left alone at the end. In a
// clean clone vitest knows their sizes only, and what waits in real time is small.
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** Parts of their paths, the longest first. */
const LONGEST = [
  'faults/deadline-sweep',
  'faults/cos-matrix',
  'faults/append-only',
  'faults/held-back',
  'faults/pulsar-faults',
  'cos/faults.',
  'pulsar/source-contract.',
  'pulsar/wire/held-back-probe',
  'cli/archive/copy.',
  'cli/rule/edit',
  'cli/archive/cold',
  'cli/rule/rollback',
  'cli/rule/refusals',
  'cli/archive/export-again',
  'cli/smoke.',
  'cli/odd-names',
  'cli/rule/instances',
  'random-crashes.',
  'pulsar/publisher-contract',
].map((name) => `/test/${name}`);

/** Vitest's own order, but for the files that are known to be long. */
export class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rankOf = ({ moduleId }: TestSpecification) => {
      const rank = LONGEST.findIndex((name) => moduleId.includes(name));
      return rank < 0 ? LONGEST.length : rank;
    };
    return (await super.sort(files)).sort((a, b) => rankOf(a) - rankOf(b));
  }
}
