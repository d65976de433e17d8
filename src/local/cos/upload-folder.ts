// Unfinished multipart uploads of one bucket, in its hidden folder: nothing here is visible as an object.
import { createHash, randomUUID } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { copyFile, open } from 'node:fs/promises';
import { join } from 'node:path';
import { combineCrc64 } from './crc64-table.ts';
import { hiddenFolder } from './object-folder.ts';
import type { ReceivedBody } from './received-body.ts';

/** A part that was uploaded. */
export interface StoredPart extends ReceivedBody {
  readonly number: number;
  readonly lastModifiedMs: number;
}

/** A multipart upload that was neither completed nor aborted. */
export interface StoredUpload {
  readonly bucket: string;
  readonly key: string;
  readonly uploadId: string;
  readonly initiatedMs: number;
  /** What the finished object is to bring back. */
  readonly headers: Readonly<Record<string, string>>;
  readonly parts: Map<number, StoredPart>;
}

/** The unfinished uploads of one bucket. */
export class UploadFolder {
  readonly #folder: string;
  readonly #bucket: string;
  readonly #uploads = new Map<string, StoredUpload>();

  /** Opens the folder, and finds again what it contains. */
  constructor(dir: string, bucket: string) {
    this.#bucket = bucket;
    this.#folder = join(hiddenFolder(dir, bucket), 'uploads');
    mkdirSync(this.#folder, { recursive: true });
    for (const uploadId of readdirSync(this.#folder)) this.#find(uploadId);
  }

  get(uploadId: string): StoredUpload | undefined {
    return this.#uploads.get(uploadId);
  }

  all(): StoredUpload[] {
    return [...this.#uploads.values()];
  }

  /** Begins an upload. */
  start(key: string, headers: Readonly<Record<string, string>>, nowMs: number): StoredUpload {
    const uploadId = `${Math.floor(nowMs / 1000)}${randomUUID().replaceAll('-', '')}`;
    const about = { bucket: this.#bucket, key, uploadId, initiatedMs: nowMs, headers };
    const upload = { ...about, parts: new Map<number, StoredPart>() };
    mkdirSync(join(this.#folder, uploadId));
    writeFileSync(join(this.#folder, uploadId, 'upload.json'), JSON.stringify(about, undefined, 1));
    this.#uploads.set(uploadId, upload);
    return upload;
  }

  /** Keeps a part; one of the same number is replaced. The file's name contains its sums. */
  putPart(upload: StoredUpload, number: number, body: ReceivedBody, nowMs: number): void {
    const before = upload.parts.get(number)?.file;
    const name = `part-${String(number).padStart(5, '0')}.${body.etag}.${body.crc64}`;
    const file = body.file === undefined ? undefined : join(this.#folder, upload.uploadId, name);
    if (file !== undefined) renameSync(body.file as string, file);
    if (before !== undefined && before !== file) rmSync(before, { force: true });
    upload.parts.set(number, { ...body, file, number, lastModifiedMs: nowMs });
  }

  /** Ends an upload and drops its parts. */
  remove(upload: StoredUpload): void {
    rmSync(join(this.#folder, upload.uploadId), { recursive: true, force: true });
    this.#uploads.delete(upload.uploadId);
  }

  #find(uploadId: string): void {
    const folder = join(this.#folder, uploadId);
    const about = JSON.parse(readFileSync(join(folder, 'upload.json'), 'utf8')) as Omit<
      StoredUpload,
      'parts'
    >;
    const parts = new Map<number, StoredPart>();
    for (const name of readdirSync(folder)) {
      const [, number, etag, crc64] = /^part-(\d+)\.(\w+)\.(\d+)$/.exec(name) ?? [];
      if (number === undefined || etag === undefined || crc64 === undefined) continue;
      const file = join(folder, name);
      const { size: sizeBytes, mtimeMs: lastModifiedMs } = statSync(file);
      const before = parts.get(Number(number));
      if (before !== undefined && before.lastModifiedMs > lastModifiedMs) continue;
      parts.set(Number(number), {
        number: Number(number),
        etag,
        crc64: BigInt(crc64),
        sizeBytes,
        lastModifiedMs,
        file,
      });
    }
    this.#uploads.set(uploadId, { ...about, parts });
  }
}

/** The body of all parts together, written to `file`, with the sums that COS gives a multipart object. */
export async function joinParts(parts: readonly StoredPart[], file: string): Promise<ReceivedBody> {
  const isKept = parts.every((part) => part.file !== undefined);
  if (isKept) await writeParts(parts as readonly (StoredPart & { file: string })[], file);
  const md5 = createHash('md5');
  for (const part of parts) md5.update(part.etag, 'hex');
  return {
    file: isKept ? file : undefined,
    sizeBytes: parts.reduce((sum, part) => sum + part.sizeBytes, 0),
    crc64: parts.reduce((crc, part) => combineCrc64(crc, part.crc64, part.sizeBytes), 0n),
    etag: `${md5.digest('hex')}-${parts.length}`,
  };
}

async function writeParts(parts: readonly { file: string }[], file: string): Promise<void> {
  const [first, ...rest] = parts;
  if (first !== undefined) await copyFile(first.file, file);
  const buffer = Buffer.allocUnsafe(1 << 20);
  const target = await open(file, 'a');
  try {
    for (const part of rest) {
      const source = await open(part.file);
      try {
        for (;;) {
          const { bytesRead } = await source.read(buffer);
          if (bytesRead === 0) break;
          await target.appendFile(buffer.subarray(0, bytesRead));
        }
      } finally {
        await source.close();
      }
    }
  } finally {
    await target.close();
  }
}
