// What can be found wrong with an archive as a whole: what is missing, what is not of it, and what no object holds.
import { type ArchiveObject, isRecovered, type Surroundings } from '../catalog/catalog.ts';
import { PartitionRanges } from '../catalog/object-ranges.ts';
import { verifyEnds } from '../catalog/overlaps.ts';
import { NO_CHAIN } from '../chain/follow-runs.ts';
import { verifyChain } from '../chain/verify-chain.ts';
import { damage, type Finding, notice } from '../finding.ts';
import { verifyFacts } from './verify-object.ts';

/** Collects the findings of a catalog, by what is known about its objects alone; nothing is read, and no run is followed. */
export function createCatalogCheck(prefix: string) {
  const partitions = new PartitionRanges(prefix);
  const ofObjects: Finding[] = [];
  return {
    partitions,
    add(object: ArchiveObject): void {
      partitions.addObject(object);
      ofObjects.push(...verifyFacts(object, false));
    },
    findings: (surroundings: Surroundings): Finding[] => [
      ...verifySurroundings(surroundings),
      ...ofObjects,
      ...[...partitions.values()].flatMap((own) => [...verifyEnds(own.inOrder())]),
      // Where an object is missing, there is a gap between others.
      ...verifyChain(partitions, { raw: surroundings.raw, missing: [] }, NO_CHAIN).findings,
    ],
  };
}

/** The findings of what an archive holds besides its objects. */
export function verifySurroundings(surroundings: Surroundings): Finding[] {
  const { missing, badManifests, foreign, raw, rawWithoutBytes } = surroundings;
  return [
    ...missing.map(({ key, messages }) =>
      damage(
        key,
        'missing',
        `the manifest of a run names it, with ${messages} messages, and it is not there`,
      ),
    ),
    ...rawWithoutBytes.map((key) =>
      damage(key, 'missing', 'it was kept raw, as the .json beside it says, and is not there'),
    ),
    ...badManifests.map((key) => damage(key, 'manifest', 'it is no manifest of a run')),
    ...foreign.map(({ key }) => notice(key, 'foreign', 'it is no object of this archive')),
    ...raw
      .filter((one) => !isRecovered(one))
      .map(({ key }) =>
        notice(key, 'unreadable', 'it is kept raw and in no object: archive recover tries it'),
      ),
  ];
}
