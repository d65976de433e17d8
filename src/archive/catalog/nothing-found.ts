// Describes what exists instead, if an archive, a topic or messages were not found. Every command fails then, because
// success without a result would mislead. Reads folders only, and a limited number.
import { BackupError } from '../../errors.ts';
import { isOwnFolder, OBJECT_NAME, topicFolder } from '../../format/object-key.ts';
import { nearest } from '../../lib/nearest.ts';
import type { CallOptions, ObjectStore } from '../../ports.ts';
import type { TopicName } from '../../topic-name.ts';
import { topicFolders } from './listing.ts';

/** Folders that are looked into. */
const MAX_FOLDERS = 400;
/** Of what is right below a folder. */
const MAX_ITEMS = 300;
/** Below the prefix. */
const MAX_DEPTH = 8;
const MAX_NAMED = 10;
/** How many folders below the archive's own one each kind of name is. */
const DEPTHS: readonly (readonly [RegExp, number])[] = [
  [/^date=\d{4}-\d{2}-\d{2}\/$/, 3],
  [/^partition=(none|\d+)\/$/, 4],
  [OBJECT_NAME, 5],
];

export interface LookedFor extends CallOptions {
  readonly topic?: TopicName | undefined;
  readonly isLocal?: boolean | undefined;
}

/** `tenant/namespace/topic` of the topics at `prefix` that have objects, at most `limit` of them. @throws BackupError `store` */
export async function findTopics(
  store: ObjectStore,
  prefix: string,
  call: CallOptions,
  limit: number,
): Promise<string[]> {
  const topics: string[] = [];
  for await (const folder of topicFolders(store, prefix, call)) {
    if (await hasDates(store, folder, call)) topics.push(folder.slice(prefix.length, -1));
    if (topics.length >= limit) break;
  }
  return topics;
}

async function hasDates(store: ObjectStore, folder: string, call: CallOptions): Promise<boolean> {
  for await (const { key } of store.listFolder(folder, call))
    if (DEPTHS[0]?.[0].test(key.slice(folder.length))) return true;
  return false;
}

/** The failure of who looked for an archive, or a topic of it, at `prefix` and found no object. @throws BackupError `store` */
export async function nothingFound(
  store: ObjectStore,
  prefix: string,
  { topic, isLocal = false, signal }: LookedFor,
): Promise<BackupError> {
  const call: CallOptions = signal === undefined ? {} : { signal };
  const at = isLocal ? 'the folder' : `the prefix "${prefix}"`;
  const topics = await findTopics(store, prefix, call, MAX_NAMED + 1);
  if (topics.length > 0 && topic !== undefined) {
    const own = topic.full.replace(/^\w+:\/\//, '');
    return new BackupError(
      'config',
      `nothing found: ${at} holds no messages of ${topic.full}; here are ${listOf(topics)}`,
      { hint: `Did you mean --topic ${nearest(own, topics)}` },
    );
  }
  const found = await searchArchives(store, prefix, call);
  if (found.length === 0 && !isLocal && prefix !== '')
    // Who may read one prefix may not be allowed to list all of the bucket.
    found.push(...(await searchArchives(store, '', call).catch(() => [])));
  const [first] = found;
  if (first !== undefined) return elsewhere(first, found, at, { own: prefix, isLocal });
  const others = await namesIn(store, prefix, call);
  return new BackupError(
    'config',
    others.length === 0
      ? `nothing found: ${at} is empty`
      : `nothing found: nothing at ${at} is of an archive; here are ${listOf(others)}`,
    {
      hint: isLocal
        ? 'Name the folder that the prefix of the archive was copied to: _runs/ is in it.'
        : 'Compare bucket and prefix with COS_BUCKET and COS_PREFIX of the rule; before its first run there is nothing.',
    },
  );
}

/** The failure of who selected nothing of a topic: it is not there, or none of its messages is asked for. @throws BackupError `store` */
export async function nothingOf(
  store: ObjectStore,
  prefix: string,
  topic: TopicName,
  options: Omit<LookedFor, 'topic'>,
): Promise<BackupError> {
  const call: CallOptions = options.signal === undefined ? {} : { signal: options.signal };
  const dates: string[] = [];
  for await (const { key } of store.listFolder(topicFolder(prefix, topic), call)) {
    const date = /date=(\d{4}-\d{2}-\d{2})\/$/.exec(key)?.[1];
    if (date !== undefined) dates.push(date);
  }
  const [first, last] = [dates[0], dates.at(-1)];
  if (first === undefined) return nothingFound(store, prefix, { ...options, topic });
  const there = first === last ? `of ${first}` : `of ${dates.length} dates from ${first} to ${last}`;
  return new BackupError('config', `nothing found: no message of ${topic.full} is selected`, {
    hint: `Here are objects ${there} (UTC). tdmq-backup archive ls shows times, ids and partitions.`,
  });
}

interface FoundArchive {
  /** Where the archive is: a prefix; for a local copy, below the folder. */
  readonly prefix: string;
  /** The folder is so many levels inside of the archive. */
  readonly levelsUp: number;
  readonly topics: readonly string[];
}

function elsewhere(
  first: FoundArchive,
  found: readonly FoundArchive[],
  at: string,
  { own, isLocal }: { readonly own: string; readonly isLocal: boolean },
): BackupError {
  const { prefix, levelsUp, topics } = first;
  if (levelsUp > 0) {
    return new BackupError('config', `nothing found: ${at} is inside of an archive, too deep`, {
      hint: isLocal
        ? `Did you mean the folder ${levelsUp === 1 ? 'above' : `${levelsUp} levels above`}: --folder ${'../'.repeat(levelsUp)}`
        : `Did you mean --prefix ${prefix === '' ? '""' : prefix}`,
    });
  }
  if (prefix === own)
    return new BackupError(
      'config',
      `nothing found: ${at} has an archive's folders, and no object of messages`,
      {
        hint: 'Its runs have stored nothing yet, or the objects were removed.',
      },
    );
  const here = topics.length > 0 ? listOf(topics) : 'what runs have left';
  const more = found.slice(1, MAX_NAMED).map((one) => one.prefix || '""');
  return new BackupError(
    'config',
    `nothing found: no archive is at ${at}; here are ${here} under ${isLocal ? 'the folder' : 'the prefix'} ${prefix || '""'}`,
    {
      hint: `Did you mean ${isLocal ? `the folder ${prefix} in it` : `--prefix ${prefix || '""'}`}${more.length > 0 ? `, or ${more.join(', ')}` : ''}`,
    },
  );
}

/** Archives at, below, or around `prefix`, level by level. */
async function searchArchives(
  store: ObjectStore,
  prefix: string,
  call: CallOptions,
): Promise<FoundArchive[]> {
  const byPrefix = new Map<string, Set<string>>();
  let level = [prefix];
  let looked = 0;
  for (let depth = 0; depth <= MAX_DEPTH && level.length > 0; depth++) {
    const next: string[] = [];
    for (const folder of level) {
      if (looked++ >= MAX_FOLDERS) break;
      let items = 0;
      for await (const { kind, key } of store.listFolder(folder, call)) {
        if (items++ >= MAX_ITEMS) break;
        const name = key.slice(folder.length);
        if (name === '_runs/' || name === '_unreadable/')
          byPrefix.set(folder, byPrefix.get(folder) ?? new Set());
        const levels = DEPTHS.find(([pattern]) => pattern.test(name))?.[1];
        if (levels !== undefined) {
          const inside = inArchive(folder, prefix, levels);
          if (inside.levelsUp > 0) return [inside];
          const topics = byPrefix.get(inside.prefix) ?? new Set();
          byPrefix.set(inside.prefix, new Set([...topics, ...inside.topics]));
          break;
        }
        if (kind === 'folder' && !isOwnFolder(name)) next.push(key);
      }
    }
    level = next;
  }
  return [...byPrefix].map(([own, topics]) => ({ prefix: own, levelsUp: 0, topics: [...topics].sort() }));
}

/** Whose archive a folder is of that is `levels` below it. */
function inArchive(folder: string, prefix: string, levels: number): FoundArchive {
  const names = folder.slice(prefix.length).split('/').slice(0, -1);
  const levelsUp = levels - names.length;
  if (levelsUp <= 0) {
    const own = names.slice(0, names.length - levels);
    const topic = names.slice(own.length, own.length + 3).join('/');
    return { prefix: `${prefix}${own.map((name) => `${name}/`).join('')}`, levelsUp: 0, topics: [topic] };
  }
  const above = prefix.split('/').slice(0, -1);
  const own = above.slice(0, Math.max(0, above.length - levelsUp));
  return { prefix: own.map((name) => `${name}/`).join(''), levelsUp, topics: [] };
}

async function namesIn(store: ObjectStore, prefix: string, call: CallOptions): Promise<string[]> {
  const names: string[] = [];
  for await (const { key } of store.listFolder(prefix, call)) {
    names.push(key.slice(prefix.length));
    if (names.length > MAX_NAMED) break;
  }
  return names;
}

function listOf(names: readonly string[]): string {
  const more = names.length > MAX_NAMED ? ' and more' : '';
  return `${names.slice(0, MAX_NAMED).join(', ')}${more}`;
}
