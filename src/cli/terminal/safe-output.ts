// What commands print for a person, with nothing in it that a terminal obeys but what the command itself puts there: values,
// keys, names and messages come from outside. What programs read from a pipe stays exact.
import { randomUUID } from 'node:crypto';
import { visibleLines } from '../../lib/visible-text.ts';
import type { Terminal } from '../command.ts';

/** What nobody outside can know, so that no text from there passes for a code of ours. */
const SECRET = randomUUID();
const [ESCAPE, RETURN] = [`<esc ${SECRET}>`, `<return ${SECRET}>`];

/** A code of a terminal (ECMA-48) without its ESC and `[`, as commands write it. */
export const code = (text: string): string => `${ESCAPE}[${text}`;

/** Takes away the line that is shown. */
export const CLEAR_LINE = `${RETURN}${code('2K')}`;

/** The text as a terminal gets it: codes of ours as they are, everything else visible. */
const safeText = (text: string): string =>
  visibleLines(text).replaceAll(ESCAPE, '\u001b').replaceAll(RETURN, '\r');

type Output = Terminal['stdout'];

const inner = new WeakMap<Output, Output>();

/** The stream, to which only safe text is written. */
export function safeOutput(stream: Output): Output {
  const write = (chunk: string | Uint8Array, ...rest: []): boolean =>
    stream.write(safeText(typeof chunk === 'string' ? chunk : Buffer.from(chunk).toString()), ...rest);
  const safe = new Proxy(stream, {
    get(target, name) {
      if (name === 'write') return write;
      const value = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
  inner.set(safe, stream);
  return safe;
}

/** The stream itself, for a library that writes codes of its own: what it is given has to be visible text. */
export const bareOutput = (stream: Output): Output => inner.get(stream) ?? stream;
