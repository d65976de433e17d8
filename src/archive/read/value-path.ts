// `a.b=c` over values that are JSON: which values have this at that place. Numbers are compared by all of their digits, as
// JSON.parse would round them. A value that is no JSON has nothing at any place.
import type { ValuePath } from '../catalog/selection.ts';

/** Reads `a.b=c`; `\` before a dot, an equals sign or itself makes it part of a name. `undefined` where it is none. */
export function parseValuePath(text: string): ValuePath | undefined {
  const path: string[] = [];
  let name = '';
  for (let at = 0; at < text.length; at++) {
    const character = text[at] as string;
    const next = text[at + 1];
    if (character === '\\' && (next === '\\' || next === '.' || next === '=')) {
      name += next;
      at++;
    } else if (character === '.' || character === '=') {
      if (name === '') return undefined;
      path.push(name);
      name = '';
      if (character === '=') return { path, expected: text.slice(at + 1) };
    } else name += character;
  }
  return undefined;
}

/** A test of values as texts. */
export function valuePathTest({ path, expected }: ValuePath): (value: string) => boolean {
  const text = quotedText(expected) ?? expected;
  const isTextOnly = text !== expected;
  const number = isTextOnly || !NUMBER.test(expected) ? undefined : { rounded: Number(expected), expected };
  const literal = isTextOnly ? undefined : LITERALS.get(expected);
  const isText = (found: unknown) => found === text || (literal !== undefined && found === literal);
  return (value) => {
    const json = value.charCodeAt(0) === BYTE_ORDER_MARK ? value.slice(1) : value;
    let parsed: unknown;
    try {
      parsed = JSON.parse(json);
    } catch {
      return false;
    }
    let isRounded = false;
    for (const found of placesAt(parsed, path)) {
      if (isText(found)) return true;
      if (number !== undefined && typeof found === 'number' && found === number.rounded) isRounded = true;
    }
    if (number === undefined || !isRounded) return false;
    const marked = path.map((name) => `s${name}`);
    for (const found of placesAt(JSON.parse(withDigits(json)), marked))
      if (typeof found === 'string' && found[0] === 'n' && isSameNumber(found.slice(1), number.expected))
        return true;
    return false;
  };
}

const BYTE_ORDER_MARK = 0xfeff;
const LITERALS = new Map<string, boolean | null>([
  ['true', true],
  ['false', false],
  ['null', null],
]);
const NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/;

/** The text, or the digits, that JSON has of an expected value. */
export type WrittenValue =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'number'; readonly digits: string };

/** What JSON has of an expected value if it has it: a text, or the digits of a number without zeros at both ends. */
export function writtenAs(expected: string): WrittenValue {
  if (!NUMBER.test(expected)) return { kind: 'text', text: quotedText(expected) ?? expected };
  return { kind: 'number', digits: normalNumber(expected).replace(/^-|e.*$/g, '') };
}

function quotedText(text: string): string | undefined {
  if (!text.startsWith('"') || !text.endsWith('"')) return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/**
 * All that is at a place. In an array a number is an element's place, from 0; another name looks into every element, and so
 * does the end of the path.
 */
function* placesAt(value: unknown, path: readonly string[]): Generator<unknown, void, undefined> {
  const left: { found: unknown; depth: number }[] = [{ found: value, depth: 0 }];
  for (let one = left.pop(); one !== undefined; one = left.pop()) {
    const { found, depth } = one;
    const name = path[depth];
    if (Array.isArray(found)) {
      const place = name === undefined ? undefined : /^s?(\d+)$/.exec(name)?.[1];
      if (place === undefined) for (const element of found) left.push({ found: element, depth });
      else if (Number(place) < found.length) left.push({ found: found[Number(place)], depth: depth + 1 });
    } else if (name === undefined) yield found;
    else if (typeof found === 'object' && found !== null && Object.hasOwn(found, name))
      left.push({ found: (found as Record<string, unknown>)[name], depth: depth + 1 });
  }
}

/** The same JSON with `n` and its digits in place of every number, and `s` before every text. */
function withDigits(json: string): string {
  let isInText = false;
  return json.replace(/\\.|"|-?\d[\d.eE+-]*/gs, (part) => {
    if (part !== '"') return isInText ? part : `"n${part}"`;
    isInText = !isInText;
    return isInText ? '"s' : '"';
  });
}

/** Whether two numbers of JSON have the same value: digits without zeros at the ends, and the exponent of the last one. */
function isSameNumber(a: string, b: string): boolean {
  const [one, other] = [a, b].map(normalNumber);
  return one === other;
}

function normalNumber(text: string): string {
  const [, sign = '', whole = '', fraction = '', exponent = '0'] =
    /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(text) ?? [];
  const digits = `${whole}${fraction}`.replace(/^0+/, '');
  const short = digits.replace(/0+$/, '');
  if (short === '') return '0';
  return `${sign}${short}e${BigInt(exponent) - BigInt(fraction.length) + BigInt(digits.length - short.length)}`;
}
