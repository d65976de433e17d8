// Whether a record can match a filter, by its bytes alone, so that most records need no parsing. May return true for
// a record that does not match, never false for one that does.
import type { Selection } from '../catalog/selection.ts';
import { writtenAs } from './value-path.ts';

export interface RawMatch {
  /** Whether one of the records in these bytes may fit. */
  inBytes(bytes: Buffer): boolean;
  /** Whether this record may fit. */
  inLine(line: string): boolean;
}

/** A record as text or as bytes. */
interface Raw {
  includes(what: string): boolean;
  indexOf(what: string, from?: number): number;
  at(index: number): string | number | undefined;
}

/** Whether what is needed may be there. */
type Needed = (raw: Raw) => boolean;

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what JSON escapes
const ESCAPED = /["\\/\u0000-\u001f]/;
/** A longer number is looked for by its name alone. */
const MAX_DIGITS = 24;

/** How the names of fields end whose content is Base64. */
const BASE64 = 'Base64"';

/** For filters by key, property and content; `undefined` where nothing can be said without parsing. */
export function rawMatchOf({
  key,
  properties = [],
  texts = [],
  valuePaths = [],
}: Selection): RawMatch | undefined {
  const needed = [
    ...[...(key === undefined ? [] : [key]), ...properties.flat()].map(ofWhole),
    ...texts.map(ofPart),
    ...valuePaths.flatMap(({ path, expected }) => [...path.map(ofName), ofExpected(expected)]),
  ].filter((one) => one !== undefined);
  if (needed.length === 0) return undefined;
  const match = (raw: Raw) => needed.every((isThere) => isThere(raw));
  return { inBytes: match, inLine: match };
}

/** A text that is all of a field: as it is, or as Base64. */
function ofWhole(text: string): Needed | undefined {
  const plain = plainOf(text);
  const encoded = longestOf(Buffer.from(text).toString('base64').split('/'));
  if (plain === undefined || encoded === '') return undefined;
  return (raw) => raw.includes(plain) || raw.includes(encoded) || hasEscape(raw);
}

/** A text that is somewhere in a field: as it is, or in Base64 from any of three places of a group. */
function ofPart(text: string): Needed | undefined {
  const plain = plainOf(text);
  if (plain === undefined) return undefined;
  const bytes = Buffer.from(text);
  const encoded = [0, 1, 2].map((before) => {
    const base64 = Buffer.concat([Buffer.alloc(before), bytes]).toString('base64');
    const own = base64.slice(Math.ceil((before * 8) / 6), Math.floor(((before + bytes.length) * 8) / 6));
    return longestOf(own.split('/'));
  });
  return (raw) =>
    raw.includes(plain) ||
    (raw.includes(BASE64) && encoded.some((one) => raw.includes(one))) ||
    hasEscape(raw);
}

/** A text in a value that is JSON, which has escapes of its own. */
function ofJson(text: string): Needed | undefined {
  const plain = longestOf(text.split(ESCAPED));
  return plain === '' || !isText(text) ? undefined : ofJsonAs([plain]);
}

/** A name; a number may be a place in an array. */
const ofName = (name: string): Needed | undefined => (/^\d+$/.test(name) ? undefined : ofJson(name));

/** What a name is expected to have: digits may have a point between them. */
function ofExpected(expected: string): Needed | undefined {
  const written = writtenAs(expected);
  if (written.kind === 'text') return ofJson(written.text);
  const { digits } = written;
  if (digits === '0' || digits.length > MAX_DIGITS) return undefined;
  const pointed = Array.from({ length: digits.length - 1 }, (_, i) => i + 1);
  return ofJsonAs([digits, ...pointed.map((at) => `${digits.slice(0, at)}.${digits.slice(at)}`)]);
}

const ofJsonAs =
  (any: readonly string[]): Needed =>
  (raw) =>
    any.some((one) => raw.includes(one)) || raw.includes('\\u') || raw.includes(BASE64);

/** The longest piece that has one form only, besides `\u`. */
function plainOf(text: string): string | undefined {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what JSON escapes
  const pieces = text.split(/[/\u0000-\u0007\u000b\u000e-\u001f]/);
  return isText(text)
    ? longestOf(pieces.map((piece) => JSON.stringify(piece).slice(1, -1))) || undefined
    : undefined;
}

/** What is no text can be read as one that has this character. */
const isText = (text: string): boolean => !text.includes('\ufffd') && Buffer.from(text).toString() === text;

const BACKSLASH = '\\'.charCodeAt(0);

/** Whether the record has a `\u`, as which any character can be written: one that is no `\\` before a `u`. */
function hasEscape(raw: Raw): boolean {
  for (let at = raw.indexOf('\\u'); at >= 0; at = raw.indexOf('\\u', at + 2)) {
    let before = at;
    while (before > 0 && isBackslash(raw.at(before - 1))) before--;
    if ((at - before) % 2 === 0) return true;
  }
  return false;
}

const isBackslash = (one: string | number | undefined) => one === '\\' || one === BACKSLASH;

const longestOf = (parts: readonly string[]): string =>
  parts.reduce((longest, part) => (part.length > longest.length ? part : longest), '');
