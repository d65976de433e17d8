// What the clients of others publish, so that each encoder of theirs is seen: codec × kind of entry × empty, small, and
// 1 MB. The same cases are recorded as a corpus and compared live.
import { createHash } from 'node:crypto';

export type Client = 'java' | 'python' | 'go' | 'go-cgo' | 'rust';
export type Codec = 'NONE' | 'LZ4' | 'ZLIB' | 'ZSTD' | 'SNAPPY';
/** `key`: batches by key. `chunked`: on a broker whose limit is `CHUNKED_MAX_BYTES`. */
export type Kind = 'single' | 'batch' | 'key' | 'chunked';

/** A message to publish: `base64` so many `times`; `null` is a null value. `flush`: what follows is another entry. */
interface CaseMessage {
  readonly base64: string | null;
  readonly times?: number;
  readonly key?: string;
  readonly keyBase64?: string;
  readonly orderingKey?: string;
  readonly properties?: Readonly<Record<string, string>>;
  readonly eventTimeMs?: number;
  readonly flush?: boolean;
}

/** One producer on one topic. */
export interface EntryCase {
  readonly client: Client;
  readonly codec: Codec;
  readonly kind: Kind;
  readonly topic: string;
  readonly name: string;
  readonly messages: readonly CaseMessage[];
}

/** The `maxMessageSize` of the broker that chunks are published to: even what compresses well needs several. */
export const CHUNKED_MAX_BYTES = 3_000;

const CODECS: readonly Codec[] = ['NONE', 'LZ4', 'ZLIB', 'ZSTD', 'SNAPPY'];
const KINDS: readonly Kind[] = ['single', 'batch', 'key', 'chunked'];

/** The cases of a client, as far as it knows the codec and the kind. */
export function casesOf(client: Client): EntryCase[] {
  return KINDS.flatMap((kind) => {
    if (client === 'rust' && (kind === 'key' || kind === 'chunked')) return [];
    const codecs = client === 'go' ? CODECS.slice(0, 4) : client === 'go-cgo' ? ['ZSTD' as const] : CODECS;
    return codecs.map((codec) => {
      const name = `${client}-${codec.toLowerCase()}-${kind}`;
      return {
        client,
        codec,
        kind,
        topic: `persistent://public/default/${name}`,
        name,
        messages: messagesFor(client, kind),
      };
    });
  });
}

const base64 = (bytes: Uint8Array | string) => Buffer.from(bytes).toString('base64');

/** Does not compress, so that its repetitions are all that does. */
const PIECE = Buffer.concat(
  Array.from({ length: 180 }, (_, i) => createHash('sha256').update(`piece ${i}`).digest()),
);

function messagesFor(client: Client, kind: Kind): CaseMessage[] {
  const large: CaseMessage = {
    base64: base64(PIECE),
    times: Math.ceil(1_048_576 / PIECE.length),
    key: 'large',
  };
  const messages: CaseMessage[] = [
    { base64: '' },
    {
      base64: base64('small: Grüße, 世界 🌍'),
      key: 'schlüssel',
      orderingKey: base64('order'),
      properties: { a: 'b', ü: '世界', '': 'no name' },
      eventTimeMs: 1_764_000_000_123,
    },
    { base64: base64(Uint8Array.of(0xff, 0x00, 0xfe)), ...(client === 'java' ? { keyBase64: '/wA=' } : {}) },
    large,
    // What does not compress is stored, each codec in its own way.
    { base64: base64(PIECE.subarray(0, 2_048)) },
  ];
  if (client !== 'rust') messages.push({ base64: null, key: 'schlüssel' });
  // The Go client alone takes times before 1970; it makes others of them.
  if (client === 'go') messages.push({ base64: base64('1969'), eventTimeMs: -86_400_000 });
  if (kind === 'single' || kind === 'chunked') return messages;
  const ofOneKey = ['one', 'two', 'three'].map((text) => ({ base64: base64(text), key: 'k' }));
  // At the end a batch of one, and one of something empty.
  const alone = { base64: base64('alone'), key: 'k', flush: true };
  return [
    ...messages,
    ...ofOneKey.slice(0, 2),
    { ...(ofOneKey[2] as CaseMessage), flush: true },
    alone,
    { base64: '' },
  ];
}
