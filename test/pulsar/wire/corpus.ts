// The corpus of recorded entries: what the encoders of other clients put on the wire, and what the official Java client
// read of it. See test/fixtures/entries/README.md.
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { formatMessageId } from '../../../src/format/record.ts';
import type { Message, UnreadableEntry } from '../../../src/ports.ts';
import { AckPlan } from '../../../src/pulsar/wire/ack-plan.ts';
import { EntryReader } from '../../../src/pulsar/wire/entry-reader.ts';
import { loadCodec } from '../../../src/pulsar/wire/protocol/decompress.ts';
import { readStoredEntry, type StoredEntry } from '../../../src/pulsar/wire/protocol/entry-decoder.ts';
import type { Client, Codec, Kind } from '../../integration/foreign/cases.ts';
import type { ReadMessage } from '../../integration/foreign/clients.ts';

export const CORPUS_FOLDER = join(import.meta.dirname, '../../fixtures/entries');

/** One topic as it was recorded. */
export interface RecordedTopic {
  readonly client: Client;
  readonly codec: Codec;
  readonly kind: Kind;
  readonly topic: string;
  /** In order: the id as `ledger:entry`, and all that follows the command in base64. */
  readonly entries: readonly { readonly id: string; readonly base64: string }[];
  /** What the official Java client read; nothing where it could decode nothing. */
  readonly messages: readonly ReadMessage[];
}

/** All of the corpus, by client. */
export function loadCorpus(): RecordedTopic[] {
  return readdirSync(CORPUS_FOLDER)
    .filter((name) => name.endsWith('.jsonl.gz'))
    .sort()
    .flatMap((name) =>
      gunzipSync(readFileSync(join(CORPUS_FOLDER, name)))
        .toString()
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line) as RecordedTopic),
    );
}

/** The entries as the consumer gets them. */
export function storedEntries({ entries }: RecordedTopic): StoredEntry[] {
  return entries.map(({ id, base64 }) => {
    const [ledgerId, entryId] = id.split(':').map(Number) as [number, number];
    return readStoredEntry({ ledgerId, entryId }, Buffer.from(base64, 'base64'));
  });
}

const LIMIT_BYTES = 8 * 1_048_576;
const silent = () => undefined;
const logger = { debug: silent, info: silent, warn: silent, error: silent };

/** What our decoder makes of a topic. */
export async function readRecorded(
  recorded: RecordedTopic,
): Promise<{ messages: Message[]; unreadable: UnreadableEntry[] }> {
  const heldChunks = { sizeBytes: 0 };
  const context = { topic: recorded.topic, partition: -1, limitBytes: LIMIT_BYTES, heldChunks, logger };
  const reader = new EntryReader(context, true, new AckPlan(true));
  const messages: Message[] = [];
  const unreadable: UnreadableEntry[] = [];
  for (const entry of storedEntries(recorded)) {
    await loadCodec(entry.metadata?.compression ?? 0);
    const delivery = reader.read(entry);
    if (delivery.kind === 'entry') messages.push(...delivery.messages);
    else if (delivery.kind === 'unreadable') unreadable.push(delivery);
  }
  return { messages, unreadable };
}

/** A message of ours in the words of the Java reader. */
export function asRead(message: Message): ReadMessage {
  const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64');
  const { id, topic, eventTimeMs, key, orderingKey, payload } = message;
  return {
    topic,
    id: formatMessageId(id),
    publishTimeMs: Number(message.publishTimeMs),
    ...(eventTimeMs === undefined ? {} : { eventTimeMs: Number(eventTimeMs) }),
    ...(key === undefined ? {} : typeof key === 'string' ? { key } : { keyBase64: base64(key) }),
    ...(orderingKey === undefined ? {} : { orderingKey: base64(orderingKey) }),
    properties: Object.fromEntries(message.properties),
    producer: String(message.producer),
    sequenceId: Number(message.sequenceId),
    value:
      payload === null ? null : { sizeBytes: payload.length, sha256: sha256(payload), ...shown(payload) },
  };
}

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');
/** The reader prints small ones whole. */
const shown = (bytes: Uint8Array) =>
  bytes.length <= 1_024 ? { base64: Buffer.from(bytes).toString('base64') } : {};
