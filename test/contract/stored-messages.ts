// What a topic contains, read by no driver: over a bare connection, decoded by the loopback broker's codec and other
// libraries. It knows what a consumer's API hides: binary keys, empty ones, sequence ids, which messages came as one.
import { inflateSync } from 'node:zlib';
import { Zstd } from '@hpcc-js/wasm-zstd';
import { decodeMetadata } from '../../src/local/broker/frames.ts';
import { decodeMessage, type Fields } from '../../src/pulsar/wire/protocol/codec.ts';
import {
  COMPRESSION_TYPE,
  INITIAL_POSITION,
  SUBSCRIPTION_TYPE,
} from '../../src/pulsar/wire/protocol/tables.ts';
import { RawClient } from '../local/broker/raw-client.ts';

/** A message as the topic contains it. */
export interface StoredMessage {
  /** `ledger:entry`, of the last chunk where there are several. */
  readonly entry: string;
  /** Entries that it takes: 1, or the number of its chunks. */
  readonly chunks: number;
  /** The bytes that its entry, or its chunks together, take without metadata. */
  readonly storedBytes: number;
  readonly compression: number;
  readonly producer: string;
  readonly sequenceId: number;
  readonly publishTimeMs: number;
  readonly key: string | Buffer | undefined;
  readonly orderingKey: Buffer | undefined;
  readonly properties: readonly (readonly [name: string, value: string])[];
  readonly eventTimeMs: number | undefined;
  readonly payload: Buffer | null;
}

type Metadata = Fields<'MessageMetadata'>;

/** Everything in a topic or a partition (by its full name), in order. Of a message in chunks, only what is whole. */
export async function readStoredMessages(
  broker: { readonly serviceUrl: string },
  topic: string,
  token?: string,
): Promise<StoredMessage[]> {
  const zstd = await Zstd.load();
  const messages: StoredMessage[] = [];
  const chunks = new Map<string, Buffer[]>();
  for await (const { entry, metadata, payload } of readEntries(broker, topic, token)) {
    const { uuid, chunkId = 0, numChunksFromMsg = 1 } = metadata;
    let raw = payload;
    if (uuid !== undefined && numChunksFromMsg > 1) {
      const known = chunks.get(uuid) ?? [];
      if (known.length !== chunkId)
        throw new Error(`chunk ${chunkId} of ${uuid} follows ${known.length} others`);
      chunks.set(uuid, [...known, payload]);
      if (chunkId < numChunksFromMsg - 1) continue;
      raw = Buffer.concat(chunks.get(uuid) ?? []);
    }
    const common = {
      entry,
      chunks: numChunksFromMsg,
      storedBytes: raw.length,
      compression: metadata.compression ?? COMPRESSION_TYPE.NONE,
      producer: metadata.producerName ?? '',
      publishTimeMs: Number(metadata.publishTime),
    };
    const bytes = decompress(raw, metadata, zstd);
    const isBatch = metadata.numMessagesInBatch !== undefined;
    const singles = isBatch ? splitBatch(bytes, metadata.numMessagesInBatch ?? 0) : [{ ...metadata, bytes }];
    for (const one of singles) messages.push({ ...common, ...fieldsOf(one) });
  }
  return messages;
}

async function* readEntries(
  broker: { readonly serviceUrl: string },
  topic: string,
  token: string | undefined,
): AsyncGenerator<{ entry: string; metadata: Metadata; payload: Buffer }> {
  const client = await RawClient.open(broker, token === undefined ? {} : { token });
  try {
    // A broker takes a topic over when somebody looks it up.
    client.send('lookupTopic', { topic, requestId: 1, authoritative: false });
    await client.take('lookupTopicResponse');
    client.send('subscribe', {
      topic,
      subscription: `stored-messages-${Math.random()}`,
      subType: SUBSCRIPTION_TYPE.Exclusive,
      consumerId: 0,
      requestId: 2,
      durable: false,
      startMessageId: { ledgerId: 0, entryId: 0 },
      initialPosition: INITIAL_POSITION.Earliest,
    });
    await client.take('success');
    client.send('getLastMessageId', { consumerId: 0, requestId: 3 });
    const { lastMessageId } = await client.take('getLastMessageIdResponse');
    const last = [lastMessageId?.ledgerId, lastMessageId?.entryId].map(Number);
    if (!((last[1] ?? -1) >= 0) || (last[1] ?? 0) > 2 ** 53) return;
    client.flow(1_000_000);
    for (let entry = ''; entry !== last.join(':'); ) {
      const { messageId, rest } = await client.take('message');
      entry = `${messageId?.ledgerId}:${messageId?.entryId}`;
      const metadata = decodeMetadata(rest);
      const start = 10 + rest.readUInt32BE(6);
      yield { entry, metadata, payload: Buffer.from(rest.subarray(start)) };
    }
  } finally {
    client.close();
  }
}

function decompress(bytes: Buffer, { compression, uncompressedSize }: Metadata, zstd: Zstd): Buffer {
  if (compression === undefined || compression === COMPRESSION_TYPE.NONE) return bytes;
  const whole =
    compression === COMPRESSION_TYPE.ZLIB ? inflateSync(bytes) : Buffer.from(zstd.decompress(bytes));
  if (whole.length !== uncompressedSize)
    throw new Error(`${whole.length} bytes, and the metadata says ${uncompressedSize}`);
  return whole;
}

function splitBatch(bytes: Buffer, count: number): (Fields<'SingleMessageMetadata'> & { bytes: Buffer })[] {
  let at = 0;
  return Array.from({ length: count }, () => {
    const start = at + 4;
    const end = start + bytes.readUInt32BE(at);
    const single = decodeMessage('SingleMessageMetadata', bytes.subarray(start, end));
    at = end + (single.payloadSize ?? 0);
    return { ...single, bytes: bytes.subarray(end, at) };
  });
}

function fieldsOf(one: (Metadata | Fields<'SingleMessageMetadata'>) & { bytes: Buffer }) {
  const { partitionKey, partitionKeyB64Encoded, orderingKey, properties, eventTime, nullValue, sequenceId } =
    one;
  return {
    sequenceId: Number(sequenceId),
    key: partitionKeyB64Encoded ? Buffer.from(partitionKey ?? '', 'base64') : partitionKey,
    orderingKey: orderingKey === undefined ? undefined : Buffer.from(orderingKey),
    properties: (properties ?? []).map(({ key, value }) => [key ?? '', value ?? ''] as const),
    eventTimeMs: eventTime === undefined ? undefined : Number(eventTime),
    payload: nullValue ? null : one.bytes,
  };
}
