// Handles names that a disk or a tool wrote in another Unicode form than the archive (macOS decomposes letters: `ü`
// becomes `u` and U+0308). Reads such a copy under the names in its manifests, without renaming; a copy without such
// names needs no further check.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ListedObject, ObjectStore } from '../../ports.ts';

/** Topics are so many folders deep, and so many folders are looked into for their names. */
const DEPTH = 3;
const MAX_FOLDERS = 2_000;

const isPlain = (text: string): boolean => /^[\0-\x7f]*$/.test(text);

/** The store of a folder under the names that its archive has. */
export function withArchiveNames(store: ObjectStore, folder: string): ObjectStore {
  let found: { readonly toArchive: Renamed; readonly toDisk: Renamed } | undefined;
  const renamed = () => {
    found ??= findRenamed(folder);
    return found;
  };
  const onDisk = (key: string) => rename(key, renamed().toDisk);
  const inArchive = <T extends ListedObject>(object: T): T => {
    const key = rename(object.key, renamed().toArchive);
    return key === object.key ? object : { ...object, key };
  };
  const placed = <T extends { readonly startAfter?: string }>(options: T | undefined): T | undefined =>
    options?.startAfter === undefined ? options : { ...options, startAfter: onDisk(options.startAfter) };
  return {
    ...store,
    create: (key, ...rest) => store.create(onDisk(key), ...rest),
    startUpload: (key, ...rest) => store.startUpload(onDisk(key), ...rest),
    async head(key, options) {
      const head = await store.head(onDisk(key), options);
      return head && inArchive(head);
    },
    read: (key, options) => store.read(onDisk(key), options),
    list(prefix, options) {
      const objects = store.list(onDisk(prefix), placed(options));
      return renamed().toArchive.size === 0 ? objects : mapEach(objects, inArchive);
    },
    listFolder: (prefix, options) =>
      mapEach(store.listFolder(onDisk(prefix), placed(options)), (item) => {
        const key = rename(item.key, renamed().toArchive);
        return item.kind === 'folder' ? { ...item, key } : { ...item, key, object: inArchive(item.object) };
      }),
  };
}

/** From a name of a folder to its other form. */
type Renamed = ReadonlyMap<string, string>;

function rename(key: string, renamed: Renamed): string {
  if (renamed.size === 0 || isPlain(key)) return key;
  return key
    .split('/')
    .map((name) => renamed.get(name) ?? name)
    .join('/');
}

async function* mapEach<T>(items: AsyncIterable<T>, map: (item: T) => T): AsyncGenerator<T, void, undefined> {
  for await (const item of items) yield map(item);
}

function findRenamed(folder: string): { readonly toArchive: Renamed; readonly toDisk: Renamed } {
  const onDisk = formsOf(foldersIn(folder).filter((name) => !isPlain(name)));
  const toArchive = new Map<string, string>();
  const toDisk = new Map<string, string>();
  if (onDisk.size === 0) return { toArchive, toDisk };
  const inManifests = formsOf(namesInManifests(folder));
  for (const [composed, forms] of onDisk) {
    const [own, other] = [...forms];
    const [meant = composed, second] = [...(inManifests.get(composed) ?? [])];
    // Topics may differ in nothing but that.
    if (own === undefined || other !== undefined || second !== undefined || own === meant) continue;
    toArchive.set(own, meant);
    toDisk.set(meant, own);
  }
  return { toArchive, toDisk };
}

/** The forms in which names are there, by the one form that all of them have in common. */
function formsOf(names: readonly string[]): Map<string, Set<string>> {
  const forms = new Map<string, Set<string>>();
  for (const name of names) {
    const composed = name.normalize('NFC');
    forms.set(composed, (forms.get(composed) ?? new Set()).add(name));
  }
  return forms;
}

/** Of tenants, namespaces, topics and rules. */
function foldersIn(folder: string): string[] {
  const names: string[] = [];
  let level = [folder];
  let looked = 0;
  for (let depth = 0; depth < DEPTH; depth++) {
    const next: string[] = [];
    for (const path of level) {
      if (looked++ >= MAX_FOLDERS) return names;
      for (const name of subfolders(path)) {
        names.push(name);
        next.push(join(path, name));
      }
    }
    level = next;
  }
  return names;
}

/** The names that the first and the last manifest of each rule have: a rule is of one topic. */
function namesInManifests(folder: string): string[] {
  const names: string[] = [];
  const runs = join(folder, '_runs');
  for (const rule of subfolders(runs)) {
    const dates = subfolders(join(runs, rule)).sort();
    for (const date of new Set([dates[0], dates.at(-1)])) {
      if (date === undefined) continue;
      const path = join(runs, rule, date);
      const manifests = entriesIn(path)
        .map(({ name }) => name)
        .filter((name) => name.endsWith('.json') && !name.startsWith('.'))
        .sort();
      for (const name of new Set([manifests[0], manifests.at(-1)]))
        if (name !== undefined) names.push(...namesInManifest(join(path, name)));
    }
  }
  return names.filter((name) => !isPlain(name));
}

function namesInManifest(path: string): string[] {
  try {
    const { topic, rule, storedObjects = [] } = JSON.parse(readFileSync(path, 'utf8'));
    const [first] = storedObjects as { readonly key?: unknown }[];
    return [topic, `rule=${rule}`, first?.key].flatMap((text) =>
      typeof text === 'string' ? text.split('/') : [],
    );
  } catch {
    // Whoever reads manifests reports it.
    return [];
  }
}

const subfolders = (path: string): string[] =>
  entriesIn(path)
    .filter((entry) => entry.isDirectory() || entry.isSymbolicLink())
    .map(({ name }) => name);

function entriesIn(path: string) {
  try {
    return readdirSync(path, { withFileTypes: true });
  } catch {
    // Whoever lists it reports it.
    return [];
  }
}
