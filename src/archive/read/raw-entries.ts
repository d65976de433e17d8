// What was kept raw under _unreadable/, as the entries that it is made of. It decodes nothing.

import { parseMessageId } from '../../format/record.ts';
import { readWhole } from '../../format/stored-object.ts';
import type { UnreadableReason } from '../../format/unreadable.ts';
import type { CallOptions, ObjectStore, RawEntry } from '../../ports.ts';
import { readStoredEntry } from '../../pulsar/wire/protocol/entry-decoder.ts';
import { isChunk } from '../../pulsar/wire/protocol/entry-metadata.ts';
import { FRAME } from '../../pulsar/wire/protocol/tables.ts';
import type { RawObject } from '../catalog/catalog.ts';

export interface RawContent {
  readonly entries: readonly RawEntry[];
  /** Why it was not decoded; `undefined` where nobody wrote it down. */
  readonly reason: string | undefined;
}

/** Reads what was kept raw. @throws BackupError `store` */
export async function readRaw(store: ObjectStore, raw: RawObject, call: CallOptions): Promise<RawContent> {
  const bytes = await readWhole(store, raw.key, call);
  const kept = await readReason(store, raw.key.replace(/\.bin$/, '.json'), call);
  const entries = bordered(bytes, kept) ?? splitChunks(bytes).map((one) => ({ id: raw.id, bytes: one }));
  return { entries, reason: kept?.reason };
}

/** A run that was killed between the two objects has left no reason. */
async function readReason(
  store: ObjectStore,
  key: string,
  call: CallOptions,
): Promise<Partial<UnreadableReason> | undefined> {
  if ((await store.head(key, call)) === undefined) return undefined;
  try {
    return JSON.parse((await readWhole(store, key, call)).toString('utf8'));
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

function bordered(bytes: Buffer, kept: Partial<UnreadableReason> | undefined): RawEntry[] | undefined {
  if (!Array.isArray(kept?.entries)) return undefined;
  const entries: RawEntry[] = [];
  let end = 0;
  for (const { id: text, offset, sizeBytes } of kept.entries as UnreadableReason['entries']) {
    const id = parseMessageId(String(text));
    if (id === undefined || offset !== end) return undefined;
    end = offset + sizeBytes;
    const { ledgerId, entryId } = id;
    entries.push({ id: { ledgerId, entryId }, bytes: bytes.subarray(offset, end) });
  }
  return end === bytes.length ? entries : undefined;
}

/** Older objects hold the chunks of a message one after the other: each begins with the same uuid in its metadata. */
function splitChunks(bytes: Buffer): Buffer[] {
  const uuid = uuidOf(bytes, 0);
  if (uuid === undefined) return [bytes];
  const magic = Buffer.alloc(2);
  magic.writeUInt16BE(FRAME.checksumMagic);
  const starts = [0];
  for (let at = bytes.indexOf(magic, 2); at >= 0; at = bytes.indexOf(magic, at + 1))
    if (uuidOf(bytes, at) === uuid) starts.push(at);
  return starts.map((start, i) => bytes.subarray(start, starts[i + 1]));
}

function uuidOf(bytes: Buffer, at: number): string | undefined {
  const { metadata } = readStoredEntry({ ledgerId: 0, entryId: 0 }, bytes.subarray(at));
  return isChunk(metadata) ? metadata.uuid : undefined;
}
