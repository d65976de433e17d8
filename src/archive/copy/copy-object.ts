// Copies one object byte for byte: by the store itself if possible, else through this process. Compares checksums,
// skips existing objects, and refuses to replace different ones. An object becomes visible at the target only when it
// is complete.
import { BackupError } from '../../errors.ts';
import { isArchiveClass } from '../../format/contents.ts';
import { compressionOf } from '../../format/object-key.ts';
import { RECORD_FORMAT } from '../../format/record.ts';
import type { ManifestObject } from '../../format/run-manifest.ts';
import { Crc64, crc64 } from '../../lib/crc64.ts';
import type { CallOptions, Created, Exists, ObjectAttributes, ObjectHead, ObjectStore } from '../../ports.ts';

const PART_BYTES = 8 * 1_048_576;
/** The most that COS copies by one call. */
const MAX_COPY_BYTES = 5_000_000_000;

/** Where copies go. */
export interface CopyTarget {
  /** For objects of this class; `undefined`: of the one that the target's settings name. */
  store(storageClass: string | undefined): ObjectStore;
  readonly prefix: string;
  /** For people. */
  readonly name: string;
  /**
   * Lets the store copy it without this process. `refused`: no permission, or not possible. Absent if never possible.
   */
  readonly copyWithin?: (
    from: string,
    to: string,
    object: CopyAttributes,
  ) => Promise<'copied' | 'exists' | 'refused'>;
  /** Writes down when the object was stored. Absent where the target has a time of its own. */
  readonly keepTime?: (key: string, time: Date) => Promise<void>;
}

/** What a copy is to be like. */
export interface CopyAttributes {
  readonly storageClass: string | undefined;
  readonly isReadByRuns: boolean;
}

/** What is known of an object besides its key. */
export interface KnownObject {
  /** What its manifest says; a local copy has lost the metadata, which is made again from this. */
  readonly manifest?: ManifestObject | undefined;
}

/** `copied`, or `there` before; `gone` since it was listed; `archived`: it has to be thawed first. */
export interface Copied {
  readonly kind: 'copied' | 'there' | 'gone' | 'archived';
  readonly sizeBytes: number;
}

/**
 * Copies the object at `from` to `to`. May be repeated.
 * @throws BackupError `corrupt` where it is damaged; `config` where something else is at the target; `store`
 */
export async function copyObject(
  source: ObjectStore,
  from: string,
  target: CopyTarget,
  to: string,
  { manifest }: KnownObject,
  call: CallOptions,
): Promise<Copied> {
  const head = await source.head(from, call);
  if (head === undefined) return { kind: 'gone', sizeBytes: 0 };
  const { sizeBytes, storageClass } = head;
  const said = manifest?.crc64;
  if (head.crc64 !== undefined && said !== undefined && head.crc64 !== said)
    throw isDamaged(from, `its CRC-64 is ${head.crc64}, its manifest says ${said}`);
  if (manifest !== undefined && manifest.size !== sizeBytes)
    throw isDamaged(from, `it has ${sizeBytes} bytes, its manifest says ${manifest.size}`);
  const isReadByRuns = compressionOf(to) === undefined && !to.endsWith('.bin');
  const store = target.store(isReadByRuns ? undefined : storageClass);
  const there = await store.head(to, call);
  if (there !== undefined) {
    await expectSame(source, head, store, there, call);
    return { kind: 'there', sizeBytes };
  }
  if (isArchiveClass(storageClass) && !(head.thaw instanceof Date)) return { kind: 'archived', sizeBytes };
  const copied = { kind: 'copied', sizeBytes } as const;
  if (target.copyWithin !== undefined && head.crc64 !== undefined && sizeBytes <= MAX_COPY_BYTES) {
    const outcome = await target.copyWithin(from, to, { storageClass, isReadByRuns });
    if (outcome !== 'refused') {
      const made = await store.head(to, call);
      if (made === undefined)
        throw new BackupError('store', `${to} was copied, and is not there`, { retryable: true });
      await expectSame(source, head, store, made, call);
      return outcome === 'copied' ? copied : { kind: 'there', sizeBytes };
    }
  }
  const attributes = { ...attributesOf(to, head, manifest), isReadByRuns };
  const outcome = await copyThrough(source, head, { store, key: to, attributes, said }, call);
  if (outcome.kind === 'exists') {
    await expectSame(source, head, store, (await store.head(to, call)) as ObjectHead, call);
    return { kind: 'there', sizeBytes };
  }
  await target.keepTime?.(to, head.lastModified);
  return copied;
}

interface Destination {
  readonly store: ObjectStore;
  readonly key: string;
  readonly attributes: ObjectAttributes;
  /** The checksum that the manifest has. */
  readonly said: string | undefined;
}

/** Reads and stores; what came is compared with what was announced before anything is visible. */
async function copyThrough(
  source: ObjectStore,
  head: ObjectHead,
  { store, key, attributes, said }: Destination,
  call: CallOptions,
): Promise<Created | Exists> {
  const whole = new Crc64();
  let bytes = 0;
  const check = (): { crc64: string; sizeBytes: number } => {
    const crc = whole.digest();
    if (bytes !== head.sizeBytes) throw isDamaged(head.key, `${bytes} of ${head.sizeBytes} bytes came`);
    for (const expected of [head.crc64, said])
      if (expected !== undefined && expected !== crc)
        throw isDamaged(head.key, `the CRC-64 of what came is ${crc}, and should be ${expected}`);
    return { crc64: crc, sizeBytes: bytes };
  };
  const pieces = inPieces(source.read(head.key, call), (chunk) => {
    whole.update(chunk);
    bytes += chunk.byteLength;
  });
  const first = (await pieces.next()).value ?? [];
  if (head.sizeBytes <= PART_BYTES) {
    // A longer body than was announced comes in a second piece.
    await pieces.next();
    const { crc64: crc, sizeBytes } = check();
    return store.create(key, { chunks: first, sizeBytes }, crc, attributes, call);
  }
  const upload = await store.startUpload(key, attributes, call);
  if (upload.kind === 'exists') {
    await pieces.return(undefined);
    return upload;
  }
  try {
    let number = 1;
    for (let piece: readonly Uint8Array[] | undefined = first; piece; piece = (await pieces.next()).value) {
      const sizeBytes = piece.reduce((sum, { byteLength }) => sum + byteLength, 0);
      await upload.part(number++, { chunks: piece, sizeBytes }, crc64(piece), call);
    }
    return await upload.complete(check(), call);
  } catch (error) {
    await upload.abort({ signal: AbortSignal.timeout(5_000) }).catch(() => undefined);
    throw error;
  }
}

/** Chunks put together to parts. */
async function* inPieces(
  chunks: AsyncIterable<Uint8Array>,
  onChunk: (chunk: Uint8Array) => void,
): AsyncGenerator<readonly Uint8Array[], undefined, undefined> {
  let piece: Uint8Array[] = [];
  let pieceBytes = 0;
  for await (const chunk of chunks) {
    onChunk(chunk);
    let rest = chunk;
    while (pieceBytes + rest.byteLength >= PART_BYTES) {
      const taken = PART_BYTES - pieceBytes;
      piece.push(rest.subarray(0, taken));
      yield piece;
      rest = rest.subarray(taken);
      piece = [];
      pieceBytes = 0;
    }
    if (rest.byteLength > 0) piece.push(rest);
    pieceBytes += rest.byteLength;
  }
  if (pieceBytes > 0) yield piece;
}

/** @throws BackupError where what is at the target has other bytes */
async function expectSame(
  source: ObjectStore,
  from: ObjectHead,
  target: ObjectStore,
  there: ObjectHead,
  call: CallOptions,
): Promise<void> {
  const isSame =
    from.sizeBytes === there.sizeBytes &&
    (from.crc64 ?? (await checksum(source, from.key, call))) ===
      (there.crc64 ?? (await checksum(target, there.key, call)));
  if (isSame) return;
  throw new BackupError('config', `${there.key} is at the target with other bytes, and is not replaced`, {
    hint: 'Another archive is there, or one of the two is damaged: archive verify says which. Copy to an empty place, or remove what is wrong.',
    details: { key: there.key },
  });
}

async function checksum(store: ObjectStore, key: string, call: CallOptions): Promise<string> {
  const crc = new Crc64();
  for await (const chunk of store.read(key, call)) crc.update(chunk);
  return crc.digest();
}

/** Metadata and type as they were; of a file, which has none, as its manifest says. */
function attributesOf(
  key: string,
  { metadata }: ObjectHead,
  manifest: ManifestObject | undefined,
): ObjectAttributes {
  const contentType = key.endsWith('.json')
    ? 'application/json'
    : key.endsWith('.bin')
      ? 'application/octet-stream'
      : 'application/x-ndjson';
  if (Object.keys(metadata).length > 0 || manifest === undefined) return { metadata, contentType };
  const { earliestPublishTime: earliest, latestPublishTime: latest, sha256 } = manifest;
  return {
    contentType,
    metadata: {
      format: RECORD_FORMAT,
      'first-id': manifest.firstId,
      'first-publish-time': manifest.firstPublishTime,
      'last-id': manifest.lastId,
      'last-publish-time': manifest.lastPublishTime,
      messages: String(manifest.messages),
      'record-bytes': String(manifest.recordBytes),
      ...(sha256 !== undefined && { sha256 }),
      ...(earliest !== undefined && { 'earliest-publish-time': earliest }),
      ...(latest !== undefined && { 'latest-publish-time': latest }),
    },
  };
}

const isDamaged = (key: string, what: string): BackupError =>
  new BackupError('corrupt', `${key} is damaged: ${what}`, {
    hint: 'It is not copied. --skip-damaged goes on behind it; archive verify reports all that is damaged.',
    details: { key },
  });
