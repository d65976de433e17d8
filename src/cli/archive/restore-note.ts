// The progress note of a topic's restore, beside the archive: the objects at its start and its progress, so that the
// same command continues after a kill, and repeats nothing. Holds no list of keys in memory.
import { createHash, randomBytes } from 'node:crypto';
import { createKeySet, type KeySet } from '../../archive/copy/key-set.ts';
import type { Acknowledged } from '../../archive/restore/restore-progress.ts';
import { BackupError } from '../../errors.ts';
import { createSlots } from '../../lib/semaphore.ts';
import type { ObjectStore } from '../../ports.ts';
import type { Location } from './opened-location.ts';

/** Requests at a time. */
const PARALLEL = 16;
/** Of one list: about 2 MB. */
const KEYS_PER_LIST = 20_000;

/** What is kept beside the archive of a restore under way. */
interface Note {
  readonly format: 'tdmq-backup-restore/1';
  readonly id: string;
  readonly what: object;
  /** Messages have their places by it. */
  readonly targetPartitions: number;
  /** How many lists of keys there are, named after `id`; absent in notes from before: one, named as the note. */
  readonly lists?: number;
  readonly startedAt: string;
  readonly isDone: boolean;
  /** The process that works on it, or has last; absent in notes from before. */
  readonly owner?: string;
  /** Objects and raw entries that it left out, because they are damaged or no broker takes them. */
  readonly leftOut?: number;
  readonly acknowledged: Acknowledged;
}

export interface RestoreNote {
  readonly id: string;
  /** Of what is restored, however often. */
  readonly hash: string;
  /** Of a restore that was done: when it began, and what it left out. */
  readonly done: { readonly startedAt: string; readonly leftOut: number } | undefined;
  readonly isResumed: boolean;
  readonly acknowledged: Acknowledged;
  /** What the restore began with: its numbers count through these. `undefined`: it begins now, with what is there. */
  readonly began: KeySet | undefined;
  /** Writes down what a restore begins with. @throws BackupError where one that was begun does not fit */
  begin(keys: () => Iterable<string>, targetPartitions: number | undefined): Promise<void>;
  /** How many of the objects that it began with, and that nobody has taken from `began`, are gone. */
  countGone(store: ObjectStore): Promise<number>;
  /** @throws BackupError as `expectOwn` */
  save(acknowledged: Acknowledged): Promise<void>;
  /** After `begin`. @throws BackupError where another process has begun to go on with it since */
  expectOwn(): Promise<void>;
  /** Whether another process has written it since it was read. */
  isChanged(): Promise<boolean>;
  finish(leftOut: number): Promise<void>;
}

/** Finds the note of this very restore, or begins one. @throws BackupError */
export async function openNote(
  { notes }: Pick<Location, 'notes'>,
  what: object,
  { again, isDry }: { again: boolean; isDry: boolean },
): Promise<RestoreNote> {
  const hash = createHash('sha256').update(JSON.stringify(what)).digest('hex').slice(0, 16);
  const noteKey = `_restores/${hash}.json`;
  const seen = await notes.read(noteKey);
  const saved = again ? undefined : seen;
  const owner = randomBytes(6).toString('hex');
  let note: Note =
    saved === undefined
      ? {
          owner,
          format: 'tdmq-backup-restore/1',
          id: `${hash.slice(0, 8)}-${randomBytes(6).toString('hex')}`,
          what,
          targetPartitions: 0,
          startedAt: new Date().toISOString(),
          isDone: false,
          acknowledged: {},
        }
      : { ...(JSON.parse(saved) as Note), owner };
  const listKey = (at: number) =>
    note.lists === undefined
      ? `_restores/${hash}.objects.json`
      : `_restores/${note.id}${at === 0 ? '' : `-${at + 1}`}.objects.json`;
  const isOfLists = saved !== undefined && !note.isDone;

  async function* lists(): AsyncGenerator<readonly string[], void, undefined> {
    for (let at = 0; at < (note.lists ?? 1); at++) yield await readKeys({ notes }, listKey(at));
  }

  const write = async (changed: Partial<Note>) => {
    note = { ...note, ...changed };
    if (!isDry) await notes.write(noteKey, `${JSON.stringify(note)}\n`);
  };

  async function begin(keys: () => Iterable<string>, targetPartitions: number | undefined): Promise<void> {
    if (saved !== undefined) {
      if (targetPartitions !== undefined && note.targetPartitions !== targetPartitions)
        throw otherPartitions(targetPartitions, note.targetPartitions);
      await write({});
      return;
    }
    if (isDry || targetPartitions === undefined) return;
    // The lists first: what the note does not name is no list.
    note = { ...note, lists: 0 };
    let list: string[] = [];
    let count = 0;
    const writeList = () => notes.write(listKey(count++), `${JSON.stringify(list)}\n`);
    for (const key of keys()) {
      if (list.length === KEYS_PER_LIST) {
        await writeList();
        list = [];
      }
      list.push(key);
    }
    await writeList();
    await write({ lists: count, targetPartitions });
  }

  async function isOwn(): Promise<boolean> {
    const now = await notes.read(noteKey);
    return now !== undefined && (JSON.parse(now) as Partial<Note>).owner === owner;
  }

  let began: KeySet | undefined;
  if (isOfLists) {
    began = createKeySet();
    for await (const keys of lists()) for (const key of keys) began.add(key);
  }
  const { id, acknowledged } = note;
  return {
    ...{ id, hash, acknowledged, began, begin },
    done: note.isDone ? { startedAt: note.startedAt, leftOut: note.leftOut ?? 0 } : undefined,
    isResumed: saved !== undefined,
    async countGone(store) {
      if (began === undefined) return 0;
      // What has none of the selected messages may be listed or not.
      const slots = createSlots(PARALLEL);
      let gone = 0;
      for await (const keys of lists()) {
        const left = keys.filter((key) => !began.isTaken(key));
        const look = async (key: string) => {
          if ((await store.head(key)) === undefined) gone++;
        };
        await Promise.all(left.map((key) => slots.run(() => look(key))));
      }
      return gone;
    },
    isChanged: async () => (await notes.read(noteKey)) !== seen,
    async expectOwn() {
      if (!(await isOwn())) throw goneOn();
    },
    async save(now) {
      // A command that was interrupted reads nothing more, and what it has published counts all the same.
      if (!isDry && !(await isOwn().catch(() => true))) throw goneOn();
      await write({ acknowledged: now });
    },
    finish: (leftOut) => write({ isDone: true, ...(leftOut > 0 && { leftOut }) }),
  };
}

const goneOn = (): BackupError =>
  new BackupError('source', 'another process has gone on with this restore, and this one stopped', {
    hint: 'This one was away from the broker for some time. Let the other one end; then the same command reports what is left.',
  });

const otherPartitions = (now: number, then: number): BackupError =>
  new BackupError('config', `the topic has ${now} partitions, and had ${then} when this restore was begun`, {
    hint: 'What is published already has its place by those. Add --again to begin again, into an empty topic.',
  });

/** @throws BackupError where they are gone: nobody knows then what the numbers in the note count */
async function readKeys({ notes }: Pick<Location, 'notes'>, listKey: string): Promise<readonly string[]> {
  const text = await notes.read(listKey);
  if (text !== undefined) return JSON.parse(text) as string[];
  throw new BackupError('config', `${listKey}, which reports what this restore began with, is gone`, {
    hint: 'Bring it back, or add --again to begin again with what is there.',
  });
}
