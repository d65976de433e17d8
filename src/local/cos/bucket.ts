// A bucket of the loopback COS, and what every call may answer.
import type { ObjectFolder } from './object-folder.ts';
import type { UploadFolder } from './upload-folder.ts';

/** A copy of an archived object that can be read. */
export interface RestoredCopy {
  readonly readyAtMs: number;
  readonly untilMs: number;
}

export type VersioningStatus = 'Enabled' | 'Suspended';

/** A bucket with its state. */
export interface Bucket {
  readonly name: string;
  readonly region: string;
  /** `undefined`: versioning was never enabled. Versions are not kept; it only switches forbid-overwrite off, as in COS. */
  versioning: VersioningStatus | undefined;
  lifecycleXml: string | undefined;
  readonly objects: ObjectFolder;
  readonly uploads: UploadFolder;
  /** Copies of archived objects that can be read, by key. */
  readonly restored: Map<string, RestoredCopy>;
  /** Objects that another one took the place of. */
  replacedCount: number;
}

/** A piece of a file; with its bytes, if they are few. */
export interface FilePiece {
  readonly path: string;
  readonly start: number;
  readonly sizeBytes: number;
  readonly bytes?: Buffer;
}

/** What a call answers. */
export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
  /** A piece of a file as the body. */
  readonly file?: FilePiece;
  /** The length that HEAD answers without sending a body. */
  readonly announcedBytes?: number;
}

/** An answer with an XML body. */
export function xmlAnswer(body: string, headers: Readonly<Record<string, string>> = {}): Answer {
  return { status: 200, headers: { 'content-type': 'application/xml', ...headers }, body };
}
