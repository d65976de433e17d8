// Lossless JSON: numbers keep all their digits when read and written. JSON.parse and JSON.stringify keep 53 bits
// only.

/** A number as it was written, where a JavaScript number or bigint would say it otherwise. */
export class NumberText {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

export type JsonValue =
  | null
  | boolean
  | number
  | bigint
  | NumberText
  | string
  | readonly JsonValue[]
  | { readonly [name: string]: JsonValue | undefined };

/** The JSON text, in one line; a field that is undefined is left out. */
export function jsonText(value: JsonValue | undefined): string {
  if (value === null || value === undefined) return 'null';
  if (typeof value === 'string') return JSON.stringify(value);
  if (typeof value === 'number') return Object.is(value, -0) ? '-0' : String(value);
  if (typeof value !== 'object') return String(value);
  if (value instanceof NumberText) return value.text;
  if (isArray(value)) return `[${value.map(jsonText).join(',')}]`;
  let text = '';
  for (const [name, field] of Object.entries(value)) {
    if (field === undefined) continue;
    text += `${text === '' ? '' : ','}${JSON.stringify(name)}:${jsonText(field)}`;
  }
  return `{${text}}`;
}

const isArray = (value: JsonValue): value is readonly JsonValue[] => Array.isArray(value);

/** The reverse, of any JSON text. @throws SyntaxError */
export function parseJson(text: string): JsonValue {
  const parsed = JSON.parse(text) as JsonValue;
  const marked = markNumbers(text);
  return marked === undefined ? parsed : (JSON.parse(marked, unmark) as JsonValue);
}

/** Before a number that is kept as a text, and before a text that begins with it. */
const MARK = '\u0000';
const ESCAPED_MARK = '\\u0000';

/** The text with numbers that would change as marked texts; `undefined` where there is none. */
function markNumbers(text: string): string | undefined {
  const pieces: string[] = [];
  let isMarked = false;
  let from = 0;
  const put = (at: number, inserted: string) => {
    pieces.push(text.slice(from, at), inserted);
    from = at;
  };
  for (let at = 0; at < text.length; ) {
    const char = text[at] as string;
    if (char === '"') {
      // As it is JSON, it has an end.
      const end = endOfString(text, at);
      NAME_END.lastIndex = end;
      if (text.startsWith(ESCAPED_MARK, at + 1) && !NAME_END.test(text)) put(at + 1, ESCAPED_MARK);
      at = end;
    } else if (char === '-' || (char >= '0' && char <= '9')) {
      NUMBER.lastIndex = at;
      const number = NUMBER.exec(text)?.[0] ?? char;
      const value = Number(number);
      if (String(value) !== number || (Number.isInteger(value) && !Number.isSafeInteger(value))) {
        put(at, `"${ESCAPED_MARK}`);
        put(at + number.length, '"');
        isMarked = true;
      }
      at += number.length;
    } else at++;
  }
  return isMarked ? pieces.join('') + text.slice(from) : undefined;
}

const NUMBER = /[-+.0-9eE]+/y;
const NAME_END = /\s*:/y;

/** Behind the quote that ends the string. */
function endOfString(text: string, start: number): number {
  for (let end = text.indexOf('"', start + 1); ; end = text.indexOf('"', end + 1)) {
    let escapes = 0;
    while (text[end - 1 - escapes] === '\\') escapes++;
    if (escapes % 2 === 0) return end + 1;
  }
}

function unmark(_name: string, value: unknown): unknown {
  if (typeof value !== 'string' || value[0] !== MARK) return value;
  const text = value.slice(1);
  if (text[0] === MARK) return text;
  return INTEGER.test(text) ? BigInt(text) : new NumberText(text);
}

const INTEGER = /^-?[1-9]\d*$/;
