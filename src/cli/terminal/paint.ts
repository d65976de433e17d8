// Colour for a person at a terminal; plain text for pipes, files and NO_COLOR.
import type { Environment } from '../../read-settings.ts';
import { code } from './safe-output.ts';

/** SGR codes: on, off (ECMA-48). */
const STYLES = { red: [31, 39], green: [32, 39], yellow: [33, 39], dim: [2, 22], bold: [1, 22] } as const;

type Paint = Record<keyof typeof STYLES, (text: string) => string>;

/** Painters for one stream; they change nothing where the stream is no terminal. */
export function paint(stream: { isTTY?: boolean }, env: Environment): Paint {
  const isColoured = stream.isTTY === true && !env['NO_COLOR'] && env['TERM'] !== 'dumb';
  const painter = ([on, off]: readonly [number, number]) =>
    isColoured ? (text: string) => `${code(`${on}m`)}${text}${code(`${off}m`)}` : (text: string) => text;
  return Object.fromEntries(Object.entries(STYLES).map(([name, codes]) => [name, painter(codes)])) as Paint;
}
