// The official Python client as producer and consumer: what it published, told by itself.
import { runPython } from './python.ts';

export interface ProducerSpec {
  readonly topic: string;
  readonly count: number;
  readonly token?: string;
  /** The same seed publishes the same messages. */
  readonly seed?: number;
  /** `text` (default): printable values of one size, with keys and properties. `varied`: everything a message may be. */
  readonly content?: 'text' | 'varied';
  /** Bytes of a value; 1024 by default. */
  readonly size?: number;
  /** How many different keys `text` uses; 0 for none. */
  readonly keys?: number;
  readonly batching?: boolean;
  readonly batch_messages?: number;
  readonly compression?: 'NONE' | 'LZ4' | 'ZLib' | 'ZSTD' | 'SNAPPY';
  /** Cuts messages over the broker's limit (5 MiB) into chunks; excludes batching. */
  readonly chunking?: boolean;
  /** A PEM file with an RSA key that messages are encrypted for. */
  readonly public_key?: string;
  readonly producer_name?: string;
  readonly first_sequence_id?: number;
}

/** A message as its producer knows it; `null` where it has no such field. */
export interface PublishedMessage {
  /** `ledger:entry:partition:batchIndex`, as records have it. */
  readonly id: string;
  readonly index: number;
  readonly key: string | null;
  /** Base64. */
  readonly orderingKey: string | null;
  readonly properties: Readonly<Record<string, string>>;
  readonly eventTimeMs: number | null;
  readonly sequenceId: number;
  readonly producer: string;
  readonly sizeBytes: number | null;
  /** Whether the value is null or valid UTF-8. */
  readonly isText: boolean;
  /** Of the value; `null` for a null value. */
  readonly sha256: string | null;
}

/** Publishes and waits until the broker has everything. */
export async function publish(serviceUrl: string, spec: ProducerSpec): Promise<PublishedMessage[]> {
  return jsonLines(await runPython('producer.py', [serviceUrl], { input: JSON.stringify(spec) }));
}

export interface ConsumedMessage
  extends Pick<
    PublishedMessage,
    'id' | 'key' | 'orderingKey' | 'properties' | 'eventTimeMs' | 'producer' | 'sha256'
  > {
  readonly topic: string;
  readonly publishTimeMs: number;
  readonly valueBase64: string | null;
}

/** Everything in the topic, until `count` messages or until none came for `idle_ms` (2000). */
export async function consume(
  serviceUrl: string,
  spec: { topic: string; token?: string; count?: number; idle_ms?: number; private_key?: string },
): Promise<ConsumedMessage[]> {
  return jsonLines(await runPython('consumer.py', [serviceUrl], { input: JSON.stringify(spec) }));
}

const jsonLines = <T>(text: string) =>
  text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as T);
