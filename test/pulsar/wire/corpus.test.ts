// Entries recorded from the clients of others become the messages that the official Java client read of them.
import { describe, expect, it } from 'vitest';
import type { EntryId } from '../../../src/ports.ts';
import { asRead, loadCorpus, type RecordedTopic, readRecorded, storedEntries } from './corpus.ts';

const corpus = loadCorpus();
const nameOf = ({ client, codec, kind }: RecordedTopic) => `${client} ${codec} ${kind}`;

const isReadable = ({ client, codec }: RecordedTopic) => !(client === 'rust' && codec === 'SNAPPY');

describe('a recorded topic', () => {
  it.each(corpus.filter(isReadable).map((one) => [nameOf(one), one] as const))(
    'of %s is what the official Java client read of it',
    async (_, recorded) => {
      const { messages, unreadable } = await readRecorded(recorded);
      expect(unreadable.map(({ reason }) => reason)).toEqual([]);
      expect(messages.length).toBeGreaterThan(4);
      expect(messages.map(asRead)).toEqual(recorded.messages);
    },
  );

  it.each(corpus.filter((one) => !isReadable(one)).map((one) => [nameOf(one), one] as const))(
    'of %s, whose Snappy has frames that Java does not read either, stays raw but for what has no bytes',
    async (_, recorded) => {
      const { messages, unreadable } = await readRecorded(recorded);
      expect(recorded.messages).toEqual([]);
      expect(messages.map(({ payload }) => payload?.length)).toEqual(recorded.kind === 'single' ? [0] : []);
      expect(unreadable.length).toBeGreaterThan(0);
      const bytes = new Map(recorded.entries.map(({ id, base64 }) => [id, base64]));
      const idOf = ({ ledgerId, entryId }: EntryId) => `${ledgerId}:${entryId}`;
      for (const { raw } of unreadable) {
        expect(raw).toHaveLength(1);
        for (const one of raw)
          expect(Buffer.from(one.bytes).toString('base64')).toBe(bytes.get(idOf(one.id)));
      }
    },
  );
});

describe('the corpus', () => {
  /** The compressed payloads of a client and codec, without those in chunks. */
  const payloads = (client: string, codec: string) =>
    corpus
      .filter((one) => one.client === client && one.codec === codec)
      .flatMap(storedEntries)
      .filter(({ metadata }) => (metadata?.compression ?? 0) > 0 && metadata?.uuid === undefined)
      .map(({ raw, payloadStart }) => raw.subarray(payloadStart))
      .filter(({ length }) => length > 0);

  it('has every client, each with every codec and kind of entry that it knows', () => {
    const kinds = (client: string) => corpus.filter((one) => one.client === client).map(nameOf);
    expect(['java', 'python', 'go', 'go-cgo', 'rust'].map((client) => kinds(client).length)).toEqual([
      20, 20, 16, 4, 10,
    ]);
  });

  it('has ZLIB that is flushed, finished, and stored', () => {
    const isFlushed = (block: Buffer) => block.subarray(-4).equals(Buffer.of(0, 0, 0xff, 0xff));
    expect(payloads('java', 'ZLIB').every(isFlushed)).toBe(true);
    expect(payloads('go', 'ZLIB').some(isFlushed)).toBe(false);
    expect(payloads('python', 'ZLIB').some(isFlushed)).toBe(false);
    // The type of the first block: the second and third bit behind the two bytes of the stream's head.
    const isStored = (block: Buffer) => (((block[2] as number) >> 1) & 3) === 0 && block.length > 2_000;
    for (const client of ['java', 'go', 'python']) expect(payloads(client, 'ZLIB').some(isStored)).toBe(true);
  });

  it('has ZSTD with and without a content size, and with a checksum', () => {
    const descriptors = (client: string) => payloads(client, 'ZSTD').map((block) => block[4] as number);
    const reportsSize = (descriptor: number) => descriptor >> 6 !== 0 || (descriptor & 0x20) !== 0;
    expect(descriptors('java').every(reportsSize)).toBe(true);
    expect(descriptors('rust').some((descriptor) => !reportsSize(descriptor))).toBe(true);
    expect(descriptors('go').every((descriptor) => (descriptor & 4) !== 0)).toBe(true);
  });
});
