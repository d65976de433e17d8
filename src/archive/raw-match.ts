// Whether a record can be one of those that are asked for, by its bytes alone: most are not, and need not be parsed. It
// says yes too often, and never no where a parsed record would fit.
import type { Selection } from './selection.ts';

export interface RawMatch {
  /** Whether one of the records in these bytes may fit. */
  inBytes(bytes: Buffer): boolean;
  /** Whether this record may fit. */
  inLine(line: string): boolean;
}

/** One of these has to be there. */
type AnyOf = readonly { readonly text: string; readonly bytes: Buffer }[];

/** Any character can be written as one. */
const ESCAPE = '\\u';

/** For filters by key and property; `undefined` where nothing can be said without parsing. */
export function rawMatchOf({ key, properties = [] }: Selection): RawMatch | undefined {
  const texts = [...(key === undefined ? [] : [key]), ...properties.flat()];
  const needed = texts.flatMap((text) => {
    const any = anyOf(text);
    return any === undefined ? [] : [any];
  });
  if (needed.length === 0) return undefined;
  return {
    inBytes: (bytes) =>
      needed.every((any) => any.some((one) => bytes.includes(one.bytes))) || bytes.includes(ESCAPE),
    inLine: (line) =>
      needed.every((any) => any.some((one) => line.includes(one.text))) || line.includes(ESCAPE),
  };
}

/** How a text can be in a record: as it is, or as Base64; of it what has no other escape than `\\u`. */
function anyOf(text: string): AnyOf | undefined {
  // What is no text can be read as one that has this character.
  if (text.includes('\ufffd') || Buffer.from(text).toString() !== text) return undefined;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what JSON escapes
  const plain = longestOf(text.split(/["\\/\u0000-\u001f]/));
  const encoded = longestOf(Buffer.from(text).toString('base64').split('/'));
  if (plain === '' || encoded === '') return undefined;
  return [plain, encoded].map((one) => ({ text: one, bytes: Buffer.from(one) }));
}

const longestOf = (parts: readonly string[]): string =>
  parts.reduce((longest, part) => (part.length > longest.length ? part : longest), '');
