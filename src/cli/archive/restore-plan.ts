// What a restore of one topic publishes: its objects, in little memory, its raw entries, and the note of how far it is.
import { expectReadable, listedPart } from '../../archive/catalog/archived.ts';
import type { RawObject } from '../../archive/catalog/catalog.ts';
import { streamCatalog } from '../../archive/catalog/catalog-stream.ts';
import { createObjectList, type PartitionObjects } from '../../archive/catalog/object-list.ts';
import { mayHold, type Selection } from '../../archive/catalog/selection.ts';
import { selectRaw } from '../../archive/restore/restore-raw.ts';
import type { Route } from '../../archive/restore/restore-routing.ts';
import type { RestoreSchemas } from '../../archive/restore/restore-schemas.ts';
import type { RestoreTarget } from '../../archive/restore/restore-target.ts';
import { BackupError } from '../../errors.ts';
import { isArchiveClass } from '../../format/contents.ts';
import type { ListedObject } from '../../ports.ts';
import { type DamageWatch, expectWhole } from './damaged.ts';
import type { Location } from './opened-location.ts';
import type { TopicPair } from './restore-map.ts';
import { openNote, type RestoreNote } from './restore-note.ts';

export interface RestoreHow {
  readonly selection: Selection;
  readonly route: Route;
  readonly isWithRaw: boolean;
  readonly isSkipping: boolean;
  readonly again: boolean;
  readonly isDry: boolean;
  readonly signal: AbortSignal;
  readonly onListed: (objects: number) => void;
}

/** A topic that is to be restored. */
export interface RestorePlan extends TopicPair {
  readonly kind: 'plan';
  readonly note: RestoreNote;
  readonly partitions: readonly PartitionObjects[];
  readonly sourcePartitions: number;
  /** Raw entries that are published. */
  readonly raw: readonly RawObject[];
  readonly rawLeftOut: number;
  readonly damage: DamageWatch;
  readonly bytes: number;
  /** Whether there is neither an object nor a raw entry of it, whatever is selected. */
  readonly isNothing: boolean;
}

/** A topic that was restored before. */
export interface DoneBefore {
  readonly kind: 'done';
  readonly done: NonNullable<RestoreNote['done']>;
}

/** A plan with its target. */
export interface OpenPlan extends RestorePlan {
  /** `undefined`: no broker is asked. */
  readonly opened: RestoreTarget | undefined;
  /** How many schemas the archive has of it; 0 where they are left out. */
  readonly schemasToRegister: number;
  /** Once they are registered. */
  schemas?: RestoreSchemas | undefined;
}

/** What is to be restored of a topic; `done` where this was done before, and nothing is listed then. @throws BackupError */
export async function planRestore(
  location: Location,
  pair: TopicPair,
  how: RestoreHow,
): Promise<RestorePlan | DoneBefore> {
  const { store, prefix } = location;
  const { selection, route, isWithRaw, isSkipping, signal } = how;
  const { source, target } = pair;
  const catalog = streamCatalog(store, prefix, {
    ...{ topic: source, signal, isLocal: !location.knowsMetadata, time: selection },
    onProgress: how.onListed,
  });
  // First: an archive that does not answer is reported as such, whatever a note says.
  const objects = catalog.objects();
  let next = await objects.next();
  const note = await openNote(
    location,
    {
      ...{ source: source.full, target: target.full, route, selection },
      ...(isWithRaw && { isWithRaw }),
      ...(isSkipping && { isSkipping }),
    },
    how,
  );
  if (note.done !== undefined) {
    await objects.return(undefined);
    return { kind: 'done', done: note.done };
  }
  const { began } = note;
  const list = createObjectList(prefix);
  const archived: ListedObject[] = [];
  let found = 0;
  for (; !next.done; next = await objects.next()) {
    const object = next.value;
    found++;
    // What was stored since is no part of it.
    const isPart = began?.take(object.key) !== false;
    if (!isPart || !mayHold(object, selection)) continue;
    list.add(object);
    if (isArchiveClass(object.storageClass)) archived.push(listedPart(object));
  }
  const { missing, raw: allRaw, partitionCounts } = await catalog.surroundings();
  // What was recovered since is still raw for it.
  const begunRaw = isWithRaw && began !== undefined ? allRaw.filter(({ key }) => began.take(key)) : undefined;
  const damage = expectWhole({ prefix, missing }, selection, isSkipping, source.full);
  await expectReadable(store, [...archived, ...(isWithRaw ? (begunRaw ?? allRaw) : [])], { signal });
  const selected = begunRaw ?? (await selectRaw(store, allRaw, selection, { signal }));
  const gone = await note.countGone(store);
  if (gone > 0) throw areGone(gone);
  const partitions = list.partitions();
  return {
    kind: 'plan',
    ...{ ...pair, note, partitions, damage },
    sourcePartitions: partitionCounts.get(source.full) ?? 0,
    raw: isWithRaw ? selected : [],
    rawLeftOut: isWithRaw ? 0 : selected.length,
    bytes: partitions.reduce((sum, own) => sum + own.bytes, 0),
    isNothing: found + allRaw.length + missing.length === 0,
  };
}

/** The keys of all that a plan publishes. */
export function* keysOf({ partitions, raw }: RestorePlan): Generator<string> {
  for (const { recovered, others } of partitions) {
    for (const { key } of recovered) yield key;
    for (const { key } of others()) yield key;
  }
  for (const { key } of raw) yield key;
}

const areGone = (gone: number): BackupError =>
  new BackupError('config', `${gone} objects that this restore began with are gone`, {
    hint: 'Bring them back, or add --again to begin again with what is there.',
  });
