// An export under a prefix of a bucket. A day is one object there, whatever its size: an object appears, and is replaced,
// as a whole; several cannot be. Each is made on this machine first.
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Draft, ExportTarget } from '../../archive/export/target.ts';
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

  async function filesOf(folder: string): Promise<Map<string, number>> {
    const files = new Map<string, number>();
    const base = `${prefix}${folder}`;
    for await (const { key, sizeBytes } of store.list(base))
      if (key.endsWith('.parquet')) files.set(key.slice(base.length), sizeBytes);
    return files;
  }

  async function upload(key: string, { path, sizeBytes }: Draft, call: CallOptions): Promise<void> {
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
      await complete(key, begun, { crc64: whole.digest(), sizeBytes }, call);
    } catch (error) {
      await begun.abort().catch(() => undefined);
      throw error;
    } finally {
      await file.close();
    }
  }

  /** An answer can be lost: then the object that is there says whether it is this one. */
  async function complete(
    key: string,
    begun: Upload,
    whole: { crc64: string; sizeBytes: number },
    call: CallOptions,
  ): Promise<void> {
    try {
      await again(() => begun.complete(whole, call));
    } catch (error) {
      const found = await store.head(key, call).catch(() => undefined);
      if (found?.crc64 !== whole.crc64 || found.sizeBytes !== whole.sizeBytes) throw error;
    }
  }

  return {
    name: text,
    draftFolder,
    canSplit: false,
    filesOf,
    async publish(folder, drafts, signal) {
      if (drafts.length > 1) throw new BackupError('store', `${folder}: a day in a bucket is one object`);
      for (const draft of drafts) await upload(`${prefix}${folder}${draft.name}`, draft, { signal });
      const own = new Set(drafts.map(({ name }) => name));
      for (const name of (await filesOf(folder)).keys())
        if (!own.has(name)) await again(() => inner.admin.remove(`${prefix}${folder}${name}`));
    },
    async readNote(key) {
      if ((await store.head(`${prefix}${key}`)) === undefined) return undefined;
      return (await readWhole(store, `${prefix}${key}`, {})).toString('utf8');
    },
    async writeNote(key, text) {
      const body = { chunks: [Buffer.from(text)], sizeBytes: Buffer.byteLength(text) };
      await again(() => inner.admin.putReplaceable(`${prefix}${key}`, body, NOTE));
    },
    async *notesIn(folder) {
      for await (const { key } of store.list(`${prefix}${folder}`))
        if (key.endsWith('.json')) yield key.slice(prefix.length);
    },
    async close() {
      await store.close();
      await rm(draftFolder, { recursive: true, force: true }).catch(() => undefined);
    },
  };
}
