// How many messages some objects hold, as far as it is known. One object of unknown count leaves the others counted.

import { formatCount } from '../../lib/format-count.ts';
import type { ArchiveObject } from './catalog.ts';

export interface MessageCount {
  /** Of the objects whose count is known. */
  readonly messages: number;
  /** Objects whose count is not known. */
  readonly unknown: number;
}

/** Counts by what manifests and metadata say, or by `countOf`. */
export function countMessages(
  objects: readonly ArchiveObject[],
  countOf: (object: ArchiveObject) => number | undefined = ({ facts }) => facts.messages,
): MessageCount {
  let messages = 0;
  let unknown = 0;
  for (const object of objects) {
    const count = countOf(object);
    if (count === undefined) unknown++;
    else messages += count;
  }
  return { messages, unknown };
}

/** The messages that are known of; `?` if the count of no object is known. */
export const knownText = ({ messages, unknown }: MessageCount, objects: number): string =>
  unknown > 0 && unknown === objects ? '?' : formatCount(messages);

/** `1,890`; `1,890, 1 unknown` if the count of an object is not known. */
export function countText(count: MessageCount, objects: number): string {
  const known = knownText(count, objects);
  const isWhole = count.unknown === 0 || count.unknown === objects;
  return isWhole ? known : `${known}, ${formatCount(count.unknown)} unknown`;
}

/** `1,893 objects, 1,890 messages`; `1,890 messages in 1,893 objects, 1 unknown`. */
export function totalText({ messages, unknown }: MessageCount, objects: number): string {
  const [count, files] = [messages, objects].map(formatCount);
  if (unknown === 0) return `${files} objects, ${count} messages`;
  return `${count} messages in ${files} objects, ${formatCount(unknown)} unknown`;
}
