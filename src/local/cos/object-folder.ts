// Objects as files in a folder: `{dir}/{bucket}/{key}`, so that a person can open them; what else is known of them
// is in `{dir}/.loopback-cos/`. A body is complete before it appears under its name, also if the process is killed.
import { createHash, randomUUID } from 'node:crypto';
import {
  closeSync,
  existsSync,
  linkSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { createCrc64 } from './crc64-table.ts';

/** An object in a bucket. */
export interface StoredObject {
  readonly bucket: string;
  readonly key: string;
  readonly sizeBytes: number;
  /** Without quotes. */
  readonly etag: string;
  /** CRC-64/XZ, decimal. */
  readonly crc64: string;
  /** What a GET brings back of the creation's headers: content type, x-cos-meta-*, storage class, encryption. */
  readonly headers: Readonly<Record<string, string>>;
  readonly lastModifiedMs: number;
  /** The folder of the bytes; `undefined` where bodies are discarded. */
  readonly file: string | undefined;
}

/** An object to be stored, its body in a temporary file of the same folder. */
export type NewObject = StoredObject;

/** The hidden side of a bucket's folder. */
export function hiddenFolder(dir: string, bucket: string): string {
  return join(dir, '.loopback-cos', bucket);
}

/** The objects of one bucket. All changes are synchronous, so that two requests cannot both create one key. */
export class ObjectFolder {
  readonly #visible: string;
  readonly #hidden: string;
  readonly #bucket: string;
  /** By key; of what was found at the opening only its file, so that a folder of a million objects is opened at once. */
  readonly #objects = new Map<string, StoredObject | string>();
  #sortedKeys: string[] | undefined;

  /** Opens the folder, and finds again what it contains. */
  constructor(dir: string, bucket: string) {
    this.#bucket = bucket;
    this.#visible = join(dir, bucket);
    this.#hidden = hiddenFolder(dir, bucket);
    rmSync(join(this.#hidden, 'temporary'), { recursive: true, force: true });
    for (const name of ['temporary', 'metadata', 'odd'])
      mkdirSync(join(this.#hidden, name), { recursive: true });
    mkdirSync(this.#visible, { recursive: true });
    this.#findFiles(this.#visible);
    this.#findOdd();
  }

  /** A new path for a body that is on its way. */
  temporaryFile(): string {
    return join(this.#hidden, 'temporary', randomUUID());
  }

  get(key: string): StoredObject | undefined {
    const known = this.#objects.get(key);
    return typeof known === 'string' ? this.#describe(key, known) : known;
  }

  /** All keys, in the order of their UTF-8 bytes. */
  keys(): readonly string[] {
    this.#sortedKeys ??= [...this.#objects.keys()].sort(compareKeys);
    return this.#sortedKeys;
  }

  /** Moves the body from its temporary file under its name. Replaces an object of the same key. */
  store(object: NewObject): void {
    const existing = this.get(object.key);
    const file = object.file === undefined ? undefined : this.#commit(object, object.file, existing?.file);
    this.#objects.set(object.key, { ...object, file });
    if (existing === undefined) this.#sortedKeys = undefined;
  }

  /** Removes an object, if there is one. */
  remove(key: string): void {
    const object = this.get(key);
    if (object === undefined) return;
    if (object.file !== undefined) {
      rmSync(object.file, { force: true });
      rmSync(this.#metadataFile(key), { force: true });
      this.#removeEmptyFolders(dirname(object.file));
    }
    this.#objects.delete(key);
    this.#sortedKeys = undefined;
  }

  /** The metadata goes first: it names the body's size and time, so that after a kill in between it is not believed. */
  #commit(object: NewObject, temporary: string, existing: string | undefined): string {
    const { mtimeMs } = statSync(temporary);
    const { bucket: _, file: __, ...metadata } = object;
    const metadataTemporary = this.temporaryFile();
    writeFileSync(metadataTemporary, JSON.stringify({ ...metadata, writtenMs: mtimeMs }, undefined, 1));
    renameSync(metadataTemporary, this.#metadataFile(object.key));
    if (existing !== undefined) {
      renameSync(temporary, existing);
      return existing;
    }
    const plain = this.#plainFile(object.key);
    if (plain !== undefined) {
      try {
        mkdirSync(dirname(plain), { recursive: true });
        linkSync(temporary, plain);
        rmSync(temporary);
        return plain;
      } catch (error) {
        // A file where a folder is needed, or the other way round: both keys may exist in COS.
        const { code } = error as NodeJS.ErrnoException;
        if (!['EEXIST', 'ENOTDIR', 'EISDIR', 'ENAMETOOLONG'].includes(code ?? '')) throw error;
      }
    }
    const odd = this.#oddFile(object.key);
    renameSync(temporary, odd);
    return odd;
  }

  #metadataFile = (key: string) => join(this.#hidden, 'metadata', `${hashOf(key)}.json`);
  #oddFile = (key: string) => join(this.#hidden, 'odd', hashOf(key));

  /** The key as a path, where it is one that no file system bends. */
  #plainFile(key: string): string | undefined {
    const isPlain = key
      .split('/')
      .every(
        (segment) =>
          !['', '.', '..'].includes(segment) && Buffer.byteLength(segment) <= 255 && !segment.includes('\0'),
      );
    return isPlain ? join(this.#visible, key) : undefined;
  }

  #findFiles(folder: string): void {
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      const file = join(folder, entry.name);
      if (entry.isDirectory()) this.#findFiles(file);
      else if (entry.isFile()) this.#objects.set(relative(this.#visible, file).replaceAll('\\', '/'), file);
    }
  }

  #findOdd(): void {
    for (const name of readdirSync(join(this.#hidden, 'odd'))) {
      const metadata = join(this.#hidden, 'metadata', `${name}.json`);
      if (!existsSync(metadata)) continue;
      const { key } = JSON.parse(readFileSync(metadata, 'utf8')) as { key: string };
      this.#objects.set(key, join(this.#hidden, 'odd', name));
    }
  }

  /** What is in the file now, and what is known of it as long as it is as it was stored. */
  #describe(key: string, file: string): StoredObject | undefined {
    const stats = statSync(file, { throwIfNoEntry: false });
    if (stats === undefined) return undefined;
    const { size, mtimeMs } = stats;
    const metadata = this.#metadataFile(key);
    const known = existsSync(metadata)
      ? (JSON.parse(readFileSync(metadata, 'utf8')) as Omit<StoredObject, 'bucket' | 'file'> & {
          writtenMs: number;
        })
      : undefined;
    const isOfThisBody = known?.sizeBytes === size && known.writtenMs === mtimeMs;
    const described = isOfThisBody
      ? known
      : { sizeBytes: size, lastModifiedMs: mtimeMs, headers: {}, ...sumsOf(file) };
    const { etag, crc64, sizeBytes, headers, lastModifiedMs } = described;
    return { bucket: this.#bucket, key, sizeBytes, etag, crc64, headers, lastModifiedMs, file };
  }

  #removeEmptyFolders(folder: string): void {
    try {
      for (let at = folder; at.startsWith(`${this.#visible}/`); at = dirname(at)) rmdirSync(at);
    } catch {
      // Not empty: other objects are in it.
    }
  }
}

const hashOf = (key: string) => createHash('sha256').update(key).digest('hex');

function sumsOf(file: string): { etag: string; crc64: string } {
  const crc = createCrc64();
  const md5 = createHash('md5');
  const buffer = Buffer.allocUnsafe(1 << 20);
  const fd = openSync(file, 'r');
  try {
    for (let n = readSync(fd, buffer); n > 0; n = readSync(fd, buffer)) {
      crc.update(buffer.subarray(0, n));
      md5.update(buffer.subarray(0, n));
    }
  } finally {
    closeSync(fd);
  }
  return { etag: md5.digest('hex'), crc64: String(crc.value()) };
}

const SURROGATE = /[\ud800-\udfff]/;

/** The order of UTF-8 bytes. JavaScript's own order differs from it only where surrogates are. */
export function compareKeys(a: string, b: string): number {
  if (SURROGATE.test(a) || SURROGATE.test(b)) return Buffer.compare(Buffer.from(a), Buffer.from(b));
  return a < b ? -1 : a > b ? 1 : 0;
}
