// What restore does with raw entries: which are meant, their place among the messages, and to which partition they go.
import { BackupError } from '../../errors.ts';
import { readWhole } from '../../format/stored-object.ts';
import type { CallOptions, Message, ObjectStore, RawEntry, TimeMs } from '../../ports.ts';
import { readStoredEntry } from '../../pulsar/wire/protocol/entry-decoder.ts';
import { isRecovered, type RawObject } from '../catalog/catalog.ts';
import { isSelected, type Selection } from '../catalog/selection.ts';

/** Enough for the metadata of nearly any entry. */
const HEAD_BYTES = 65_536;

/**
 * The raw entries that are not recovered and may hold selected messages: keys and properties may be in what cannot be
 * decoded, so these filters leave none out. @throws BackupError `store`
 */
export async function selectRaw(
  store: ObjectStore,
  raw: readonly RawObject[],
  { partitions, fromId, toId, fromMs, toMs, storedUntilMs = Number.POSITIVE_INFINITY }: Selection,
  call: CallOptions,
): Promise<RawObject[]> {
  const selected: RawObject[] = [];
  for (const one of raw) {
    if (isRecovered(one) || one.lastModified.getTime() > storedUntilMs) continue;
    const isTimed = fromMs !== undefined || toMs !== undefined;
    const publishTimeMs = isTimed ? await publishTimeOf(store, one, call).catch(unlessArchived) : undefined;
    const id = { ...one.id, partition: one.partition, batchIndex: -1 };
    const times = publishTimeMs === undefined ? {} : { fromMs, toMs };
    const own = { id, publishTimeMs: publishTimeMs ?? 0, key: undefined, properties: [] };
    if (isSelected(own, { partitions, fromId: fromId && { ...fromId, batchIndex: -1 }, toId, ...times }))
      selected.push(one);
  }
  return selected;
}

/** What has to be thawed to know its time may be of any. */
function unlessArchived(error: unknown): undefined {
  if (!(error instanceof BackupError) || error.details['code'] !== 'InvalidObjectState') throw error;
}

async function publishTimeOf(
  store: ObjectStore,
  raw: RawObject,
  call: CallOptions,
): Promise<TimeMs | undefined> {
  const head = await readWhole(store, raw.key, {
    ...call,
    start: 0,
    end: Math.max(0, Math.min(raw.sizeBytes, HEAD_BYTES) - 1),
  });
  return readStoredEntry(raw.id, head).metadata?.publishTimeMs;
}

/** A raw entry in its place among the messages. */
export async function* inPlaces(raw: readonly RawObject[]) {
  for (const one of raw)
    yield {
      kind: 'raw' as const,
      message: { id: { ...one.id, partition: one.partition, batchIndex: -1 } },
      raw: one,
    };
}

/** Its key, where it can be read, decides as that of a message does. */
export function routedBy(
  { id, partition }: RawObject,
  [first]: readonly RawEntry[],
): Pick<Message, 'id' | 'key'> {
  const bytes = Buffer.from(first?.bytes ?? []);
  const { metadata } = readStoredEntry(id, bytes);
  return { id: { ...id, partition, batchIndex: -1 }, key: metadata?.key };
}
