// Objects in archive classes: which of a selection are readable, which are being thawed, and which are not. Requests
// no thawing.
import { BackupError } from '../../errors.ts';
import { isArchiveClass } from '../../format/contents.ts';
import { createSlots } from '../../lib/semaphore.ts';
import type { CallOptions, ListedObject, ObjectHead, ObjectStore } from '../../ports.ts';
import type { ArchiveObject } from './catalog.ts';

const PARALLEL = 16;
const MAX_KEYS = 10;

/** Can be read (until then); is being thawed; has to be asked for. */
export type ThawState =
  | { readonly kind: 'there'; readonly until: Date }
  | { readonly kind: 'asked' }
  | { readonly kind: 'archived' };

export interface ArchivedObject {
  readonly object: ListedObject;
  readonly storageClass: string;
  readonly state: ThawState;
}

/** Only a HEAD shows whether an object is in an archive tier. */
export const mayBeArchived = ({ storageClass }: ListedObject, withTiers: boolean): boolean =>
  isArchiveClass(storageClass) || (withTiers && storageClass?.endsWith('INTELLIGENT_TIERING') === true);

/** Those of the objects that are in an archive class or tier, in their order. @throws BackupError `store` */
export async function findArchived(
  store: ObjectStore,
  objects: readonly ListedObject[],
  { withTiers = false, ...call }: CallOptions & { readonly withTiers?: boolean } = {},
): Promise<ArchivedObject[]> {
  const slots = createSlots(PARALLEL);
  const found = await Promise.all(
    objects
      .filter((object) => mayBeArchived(object, withTiers))
      .map((object) =>
        slots.run(async (): Promise<ArchivedObject[]> => {
          const head = await store.head(object.key, call);
          const archived = head && archivedAs(object, head);
          return archived === undefined ? [] : [archived];
        }),
      ),
  );
  return found.flat();
}

function archivedAs(object: ListedObject, { storageClass, thaw }: ObjectHead): ArchivedObject | undefined {
  if (storageClass === undefined || !isArchiveClass(storageClass)) return undefined;
  if (thaw === 'asked') return { object, storageClass, state: { kind: 'asked' } };
  const state: ThawState = thaw === undefined ? { kind: 'archived' } : { kind: 'there', until: thaw };
  return { object, storageClass, state };
}

/** What a listing says about an object, without what is known of it besides. */
export const listedPart = ({ key, sizeBytes, lastModified, storageClass }: ListedObject): ListedObject => ({
  ...{ key, sizeBytes, lastModified, storageClass },
});

/** Refuses objects that have to be thawed before they can be read. @throws BackupError `store` that names them */
export async function expectReadable(
  store: ObjectStore,
  objects: readonly ListedObject[],
  call: CallOptions,
): Promise<void> {
  const archived = (await findArchived(store, objects, call)).filter(({ state }) => state.kind !== 'there');
  if (archived.length > 0) throw notReadable(archived, objects.length);
}

/**
 * The objects, of which metadata was asked for, up to one that has to be thawed before it can be read: then it looks at
 * the others too, and hands out none. @throws BackupError `store` that names them
 */
export async function* untilArchived(
  objects: AsyncIterable<ArchiveObject>,
): AsyncGenerator<ArchiveObject, void, undefined> {
  const archived: ArchivedObject[] = [];
  let total = 0;
  for await (const object of objects) {
    total++;
    const own = object.head && archivedAs(listedPart(object), object.head);
    if (own !== undefined && own.state.kind !== 'there') archived.push(own);
    if (archived.length === 0) yield object;
  }
  if (archived.length > 0) throw notReadable(archived, total);
}

function notReadable(archived: readonly ArchivedObject[], total: number): BackupError {
  const asked = archived.filter(({ state }) => state.kind === 'asked').length;
  const keys = archived.slice(0, MAX_KEYS).map(({ object: { key } }) => key);
  const more = archived.length > MAX_KEYS ? [`and ${archived.length - MAX_KEYS} more`] : [];
  const [storageClass] = archived.map((one) => one.storageClass);
  const what = `${archived.length} of ${total} objects are archived (${storageClass}) and cannot be read`;
  return new BackupError('store', [what, ...keys, ...more].join(' | '), {
    hint:
      asked === archived.length
        ? 'They are being thawed: tdmq-backup archive thaw with the same selection says when they are there.'
        : 'tdmq-backup archive thaw with the same selection asks COS for copies that can be read, and says when they are there (hours).',
    details: { code: 'InvalidObjectState', archived: archived.length, asked },
  });
}
