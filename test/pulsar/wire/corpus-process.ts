// Reads the corpus and the blocks of encoders on the Node that runs it, and prints what is not as it should be.
import { isDeepStrictEqual } from 'node:util';
import { decompress, loadCodec } from '../../../src/pulsar/wire/protocol/decompress.ts';
import { COMPRESSION_TYPE } from '../../../src/pulsar/wire/protocol/tables.ts';
import { asRead, loadCorpus, readRecorded } from './corpus.ts';
import { REFERENCE, REFUSED, TEXT, VARIANTS } from './encoder-blocks.ts';

const wrong: string[] = [];
// What Java could not read is for corpus.test.ts.
const corpus = loadCorpus().filter(({ messages }) => messages.length > 0);
for (const recorded of corpus) {
  const { messages } = await readRecorded(recorded);
  if (!isDeepStrictEqual(messages.map(asRead), recorded.messages)) wrong.push(recorded.topic);
}
await loadCodec(COMPRESSION_TYPE.ZSTD);
const read = (type: number, hex: string) => {
  try {
    return decompress(Buffer.from(hex, 'hex'), type, TEXT.length, 1 << 20).equals(TEXT);
  } catch {
    return undefined;
  }
};
for (const [name, type, hex] of [...REFERENCE, ...VARIANTS]) if (read(type, hex) !== true) wrong.push(name);
for (const [name, type, hex] of REFUSED)
  if (read(type, hex) !== undefined) wrong.push(`not refused: ${name}`);
console.log(JSON.stringify({ topics: corpus.length, blocks: VARIANTS.length + REFUSED.length, wrong }));
