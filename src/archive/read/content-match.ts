// Whether the content of a message matches: a text anywhere in it, or a value at a path.
import { isUtf8 } from 'node:buffer';
import type { Message, Text } from '../../ports.ts';
import type { ContentFilter } from '../catalog/selection.ts';
import { valuePathTest } from './value-path.ts';

/** What is tested. */
export type Content = Pick<Message, 'key' | 'properties' | 'payload'>;

/** The test that the filters mean; `undefined` where there are none. */
export function contentTestOf({
  texts = [],
  valuePaths = [],
}: ContentFilter): ((content: Content) => boolean) | undefined {
  if (texts.length + valuePaths.length === 0) return undefined;
  const needles = texts.map((text) => ({ text, bytes: Buffer.from(text) }));
  const places = valuePaths.map(valuePathTest);
  return (content) => {
    if (!needles.every((needle) => holds(content, needle))) return false;
    if (places.length === 0) return true;
    const { payload } = content;
    if (payload === null || !isUtf8(payload)) return false;
    const value = asBuffer(payload).toString();
    return places.every((fits) => fits(value));
  };
}

interface Needle {
  readonly text: string;
  readonly bytes: Buffer;
}

function holds({ payload, key, properties }: Content, needle: Needle): boolean {
  if (payload !== null && asBuffer(payload).includes(needle.bytes)) return true;
  if (key !== undefined && isIn(key, needle)) return true;
  return properties.some((pair) => pair.some((text) => isIn(text, needle)));
}

const isIn = (where: Text, { text, bytes }: Needle): boolean =>
  typeof where === 'string' ? where.includes(text) : asBuffer(where).includes(bytes);

const asBuffer = (bytes: Uint8Array) =>
  Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
