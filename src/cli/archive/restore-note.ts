// What is kept beside the archive about a restore: which objects it began with and how far it came, so that the same
// command goes on after a kill, and does not begin again what was done.
import { createHash } from 'node:crypto';
import type { Acknowledged } from '../../archive/restore-progress.ts';
import { BackupError } from '../../errors.ts';
import { createSlots } from '../../lib/semaphore.ts';
import type { ListedObject, ObjectStore } from '../../ports.ts';
import type { Location } from './location.ts';

/** Requests at a time. */
const PARALLEL = 16;

/** What is kept beside the archive of a restore under way. */
interface Note {
  readonly format: 'tdmq-backup-restore/1';
  readonly id: string;
  readonly what: object;
  /** Messages have their places by it. */
  readonly targetPartitions: number;
  readonly startedAt: string;
  readonly isDone: boolean;
  readonly acknowledged: Acknowledged;
}

/** Finds the note of this very restore, or begins one. */
export async function openNote(
  location: Location,
  what: object,
  { keys, targetPartitions }: { keys: readonly string[]; targetPartitions: number },
  { again, isDry }: { again: boolean; isDry: boolean },
) {
  const hash = createHash('sha256').update(JSON.stringify(what)).digest('hex').slice(0, 16);
  const [noteKey, keysKey] = [`_restores/${hash}.json`, `_restores/${hash}.objects.json`];
  const fresh: Note = {
    format: 'tdmq-backup-restore/1',
    id: `${hash.slice(0, 8)}-${Date.now().toString(36)}`,
    what,
    targetPartitions,
    startedAt: new Date().toISOString(),
    isDone: false,
    acknowledged: {},
  };
  const saved = again || isDry ? undefined : await location.notes.read(noteKey);
  const note = saved === undefined ? fresh : (JSON.parse(saved) as Note);
  if (note.isDone) {
    throw new BackupError('config', `this restore was done, begun at ${note.startedAt}`, {
      hint: 'Add --again to publish all of it once more.',
    });
  }
  if (note.targetPartitions !== targetPartitions) {
    throw new BackupError(
      'config',
      `the topic has ${targetPartitions} partitions, and had ${note.targetPartitions} when this restore was begun`,
      {
        hint: 'What is published already has its place by those. Add --again to begin again, into an empty topic.',
      },
    );
  }
  let listed = keys;
  const write = (content: Note) => location.notes.write(noteKey, `${JSON.stringify(content)}\n`);
  if (saved !== undefined) listed = await readKeys(location, keysKey);
  else if (!isDry) {
    await location.notes.write(keysKey, `${JSON.stringify(keys)}\n`);
    await write(note);
  }
  let acknowledged = note.acknowledged;
  return {
    id: note.id,
    isResumed: saved !== undefined,
    /** What the restore began with: its numbers count through these. */
    keys: listed,
    acknowledged: note.acknowledged,
    save: async (now: Acknowledged) => {
      acknowledged = now;
      if (!isDry) await write({ ...note, acknowledged });
    },
    finish: async () => {
      if (!isDry) await write({ ...note, acknowledged, isDone: true });
    },
  };
}

/** @throws BackupError where they are gone: nobody knows then what the numbers in the note count */
async function readKeys(location: Location, keysKey: string): Promise<readonly string[]> {
  const text = await location.notes.read(keysKey);
  if (text !== undefined) return JSON.parse(text) as string[];
  throw new BackupError('config', `${keysKey}, which reports what this restore began with, is gone`, {
    hint: 'Bring it back, or add --again to begin again with what is there.',
  });
}

/** What the restore began with; what was stored since is not part of it. @throws BackupError where some of it is gone */
export async function stillThere<O extends ListedObject, R extends ListedObject>(
  store: ObjectStore,
  found: { readonly objects: readonly O[]; readonly raw: readonly R[] },
  keys: readonly string[],
): Promise<{ objects: O[]; raw: R[] }> {
  const began = new Set(keys);
  const objects = found.objects.filter(({ key }) => began.has(key));
  const raw = found.raw.filter(({ key }) => began.has(key));
  for (const { key } of [...objects, ...raw]) began.delete(key);
  // What has none of the selected messages may be listed or not.
  const slots = createSlots(PARALLEL);
  const there = await Promise.all(
    [...began].map((key) => slots.run(async () => (await store.head(key)) !== undefined)),
  );
  const gone = there.filter((isThere) => !isThere).length;
  if (gone === 0) return { objects, raw };
  throw new BackupError('config', `${gone} objects that this restore began with are gone`, {
    hint: 'Bring them back, or add --again to begin again with what is there.',
  });
}
