// An export under a prefix of a bucket. An object appears, and is replaced, as a whole; several cannot be: while they
// change, an object is in the day that makes engines fail. All are uploaded before that, and appear then within a moment.
// Each is made on this machine first; a day needs room for no more than two or three of its files.
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Draft, type ExportTarget, GUARD_NAME, GUARD_TEXT } from '../../archive/export/target.ts';
import { parseCosConfig } from '../../config.ts';
import { createCosStore } from '../../cos/store.ts';
import { BackupError } from '../../errors.ts';
import { readWhole } from '../../format/stored-object.ts';
import { systemClock } from '../../lib/clock.ts';
import { Crc64, crc64 } from '../../lib/crc64.ts';
import { retry } from '../../lib/retry.ts';
import type { CallOptions, ObjectAttributes, Upload } from '../../ports.ts';
import { retryingStore } from '../../retrying-store.ts';
import type { Terminal } from '../command.ts';
import { ruleEnvironment } from '../rule/environment.ts';
import { UsageError } from '../usage-error.ts';
import { quietLogger } from './bucket-location.ts';

/** COS takes 10,000 parts: 320 GB a day. */
const PART_BYTES = 32 * 1_048_576;
const PARQUET: ObjectAttributes = {
  metadata: {},
  contentType: 'application/vnd.apache.parquet',
  isReadByRuns: true,
};
const NOTE: ObjectAttributes = { metadata: {}, contentType: 'application/json', isReadByRuns: true };

const GUARD: ObjectAttributes = { metadata: {}, contentType: 'text/plain', isReadByRuns: true };

/** An object of which all parts are stored. */
interface Uploaded {
  readonly key: string;
  readonly begun: Upload;
  readonly whole: { readonly crc64: string; readonly sizeBytes: number };
}

const bodyOf = (text: string) => ({ chunks: [Buffer.from(text)], sizeBytes: Buffer.byteLength(text) });

/** `cos://bucket/prefix/`. @throws UsageError */
export function parseBucketTarget(text: string): { bucket: string; prefix: string } {
  const match = /^cos:\/\/([a-z0-9-]+)(?:\/(.*))?$/.exec(text);
  if (match === null) throw new UsageError(`${text} must be cos://bucket-appid/prefix/`);
  const prefix = match[2] ?? '';
  return {
    bucket: match[1] as string,
    prefix: prefix === '' || prefix.endsWith('/') ? prefix : `${prefix}/`,
  };
}

/** The prefix of the bucket, with the keys of the environment. @throws BackupError `config` */
export async function openBucketTarget(
  text: string,
  region: string | undefined,
  terminal: Terminal,
): Promise<ExportTarget> {
  const { bucket, prefix } = parseBucketTarget(text);
  const env = {
    ...terminal.env,
    COS_BUCKET: bucket,
    COS_PREFIX: prefix || undefined,
    ...(region === undefined ? {} : { COS_REGION: region }),
  };
  const config = parseCosConfig(await ruleEnvironment({ ...terminal, env }), 'shell');
  const logger = quietLogger();
  const inner = createCosStore(config, { logger });
  const store = retryingStore(inner, { clock: systemClock, logger, signal: terminal.signal });
  const draftFolder = await mkdtemp(join(tmpdir(), 'tdmq-backup-export-'));
  const again = <T>(call: () => Promise<T>) => retry(call, { clock: systemClock, signal: terminal.signal });

  const putText = (key: string, text: string, attributes: ObjectAttributes) =>
    again(() => inner.admin.putReplaceable(key, bodyOf(text), attributes));

  async function filesOf(folder: string): Promise<Map<string, number>> {
    const files = new Map<string, number>();
    const base = `${prefix}${folder}`;
    for await (const { key, sizeBytes } of store.list(base))
      if (key.endsWith('.parquet')) files.set(key.slice(base.length), sizeBytes);
    return files;
  }

  /** Stores the parts of an object; nobody sees it before it is complete. */
  async function upload(key: string, { path, sizeBytes }: Draft, call: CallOptions): Promise<Uploaded> {
    const begun = await again(() => inner.startReplacement(key, PARQUET, call));
    const whole = new Crc64();
    const file = await open(path, 'r');
    try {
      for (let at = 0, number = 1; at < sizeBytes; at += PART_BYTES, number++) {
        const bytes = Buffer.allocUnsafe(Math.min(PART_BYTES, sizeBytes - at));
        await file.read(bytes, 0, bytes.length, at);
        whole.update(bytes);
        const body = { chunks: [bytes], sizeBytes: bytes.length };
        await again(() => begun.part(number, body, crc64([bytes]), call));
      }
      return { key, begun, whole: { crc64: whole.digest(), sizeBytes } };
    } catch (error) {
      await begun.abort().catch(() => undefined);
      throw error;
    } finally {
      await file.close();
    }
  }

  /** An answer can be lost: then the object that is there says whether it is this one. */
  async function complete({ key, begun, whole }: Uploaded, call: CallOptions): Promise<void> {
    try {
      await again(() => begun.complete(whole, call));
    } catch (error) {
      const found = await store.head(key, call).catch(() => undefined);
      if (found?.crc64 !== whole.crc64 || found.sizeBytes !== whole.sizeBytes) throw error;
    }
  }

  const staged = new Map<string, Uploaded>();
  async function unstage(): Promise<void> {
    for (const { begun } of staged.values()) await begun.abort().catch(() => undefined);
    staged.clear();
  }

  return {
    name: text,
    draftFolder,
    filesOf,
    async stage(folder, draft, signal) {
      const key = `${prefix}${folder}${draft.name}`;
      staged.set(key, await upload(key, draft, { signal }));
    },
    unstage,
    async cleanUp(folder) {
      try {
        for await (const { key, uploadId } of store.listUploads(`${prefix}${folder}`))
          await store.abortUpload(key, uploadId);
      } catch (error) {
        // Nothing of it is visible, and lifecycle rules remove it too.
        if (!(error instanceof BackupError)) throw error;
      }
    },
    async publish(folder, { drafts, removed }, signal) {
      const base = `${prefix}${folder}`;
      const uploaded: Uploaded[] = [];
      const remove = (name: string) => again(() => inner.admin.remove(`${base}${name}`));
      const undo = async (names: readonly string[]) => {
        await Promise.all(names.map(remove));
        if (!removed.includes(GUARD_NAME)) await remove(GUARD_NAME);
      };
      let isGuarded = false;
      try {
        for (const draft of drafts) {
          const key = `${base}${draft.name}`;
          uploaded.push(staged.get(key) ?? (await upload(key, draft, { signal })));
          staged.delete(key);
        }
        isGuarded = drafts.length + removed.length > 1;
        if (isGuarded) await putText(`${base}${GUARD_NAME}`, GUARD_TEXT, GUARD);
        // From here on it goes to its end, whatever is asked: half of it is nothing that should stay.
        await Promise.all(uploaded.map((one) => complete(one, {})));
      } catch (error) {
        for (const { begun } of uploaded) await begun.abort().catch(() => undefined);
        // Their names are new: without them, the day is as it was.
        if (isGuarded) await undo(drafts.map(({ name }) => name)).catch(() => undefined);
        throw error;
      }
      await Promise.all(removed.filter((name) => name !== GUARD_NAME).map(remove));
      if (isGuarded) await remove(GUARD_NAME);
    },
    async readNote(key) {
      if ((await store.head(`${prefix}${key}`)) === undefined) return undefined;
      return (await readWhole(store, `${prefix}${key}`, {})).toString('utf8');
    },
    writeNote: (key, text) => putText(`${prefix}${key}`, text, NOTE),
    async createNote(key, text) {
      const body = bodyOf(text);
      return (await store.create(`${prefix}${key}`, body, crc64(body.chunks), NOTE)).kind === 'created';
    },
    removeNote: (key) => again(() => inner.admin.remove(`${prefix}${key}`)),
    async *notesIn(folder) {
      for await (const { key } of store.list(`${prefix}${folder}`))
        if (key.endsWith('.json')) yield key.slice(prefix.length);
    },
    async close() {
      await unstage();
      await store.close();
      await rm(draftFolder, { recursive: true, force: true }).catch(() => undefined);
    },
  };
}
