// The filters of a selection, and which objects need not be read for them.

import { parseObjectKey } from '../../format/object-key.ts';
import { compareMessageIds } from '../../format/record.ts';
import type { ManifestObject } from '../../format/run-manifest.ts';
import type { Message, MessageId, TimeMs } from '../../ports.ts';
import type { ArchiveObject } from './catalog.ts';
import { CLOCK_SLACK_MS } from './listing.ts';
import { pathOf } from './manifest-content.ts';
import { datesOf, factsOf } from './object-facts.ts';
import { storedAtMs } from './stored-time.ts';

/** A place in a JSON value, and what has to be there. */
export interface ValuePath {
  /** Names from the outside to the inside. */
  readonly path: readonly string[];
  /** As it was typed: a text, a number, `true`, `false` or `null`; with quotes, a text and nothing else. */
  readonly expected: string;
}

/** Filters by content; every one has to fit. */
export interface ContentFilter {
  /** In the value, the key, or the name or the content of a property; bytes of UTF-8 where these are no text. */
  readonly texts?: readonly string[] | undefined;
  readonly valuePaths?: readonly ValuePath[] | undefined;
}

/** Every filter that is there has to fit. Times and ids are inclusive, but `toMs`, which is not. */
export interface Selection extends ContentFilter {
  readonly partitions?: readonly number[] | undefined;
  /** Of the publish time. */
  readonly fromMs?: number | undefined;
  readonly toMs?: number | undefined;
  readonly fromId?: MessageId | undefined;
  readonly toId?: MessageId | undefined;
  /** Of the time at which the object was stored (stored-time.ts). */
  readonly storedUntilMs?: number | undefined;
  readonly key?: string | undefined;
  readonly properties?: readonly (readonly [name: string, value: string])[] | undefined;
}

/** Whether what is selected depends on what is in messages: their keys, properties and values. */
export const isByContent = ({ key, properties, texts, valuePaths }: Selection): boolean =>
  [key, properties, texts, valuePaths].some((filter) => filter !== undefined);

/** Whether the object may hold selected messages, by what is known without reading it. */
export function mayHold(
  object: Pick<ArchiveObject, 'parts' | 'facts' | 'manifest'> & Partial<Pick<ArchiveObject, 'lastModified'>>,
  selection: Selection,
): boolean {
  const { parts, facts } = object;
  const { partitions, fromMs, toMs, fromId, toId, storedUntilMs } = selection;
  if (partitions !== undefined && !partitions.includes(parts.partition)) return false;
  if (storedUntilMs !== undefined && storedAtMs(object) > storedUntilMs) return false;
  const { firstId, lastId, earliestPublishTimeMs, latestPublishTimeMs } = facts;
  const between = [earliestPublishTimeMs, latestPublishTimeMs].filter((timeMs) => timeMs !== undefined);
  // An end that is astray says nothing of the others, and may be all that is known of a manifest from before. Where it is
  // not known when the messages between the ends were published, the object is read.
  if (facts.isSpanKnown && datesOf(facts).length === 2) {
    const times = [facts.firstPublishTimeMs, facts.lastPublishTimeMs, ...between] as TimeMs[];
    if (fromMs !== undefined && times.every((timeMs) => timeMs < fromMs - CLOCK_SLACK_MS)) return false;
    if (toMs !== undefined && times.every((timeMs) => timeMs > toMs + CLOCK_SLACK_MS)) return false;
  }
  // The key of an object has 0 where its first message has no place in a batch.
  const end = toId && { ...toId, batchIndex: Math.max(0, toId.batchIndex) };
  if (end !== undefined && compareMessageIds(firstId, end) > 0) return false;
  return fromId === undefined || lastId === undefined || compareMessageIds(lastId, fromId) >= 0;
}

/** Whether an object that only a manifest knows may hold selected messages; of that topic, where one is given. */
export function mayHoldMissing(object: ManifestObject, selection: Selection, topic?: string): boolean {
  const parts = parseObjectKey('', pathOf(object.key));
  if (parts === undefined) return false;
  const isOfTopic =
    topic === undefined || topic === `persistent://${parts.tenant}/${parts.namespace}/${parts.topic}`;
  return (
    isOfTopic && mayHold({ parts, facts: factsOf(parts, object, undefined), manifest: object }, selection)
  );
}

/** Whether the message is selected, as far as its value does not matter (content-match.ts). */
export function isSelected(
  message: Pick<Message, 'id' | 'publishTimeMs' | 'key' | 'properties'>,
  selection: Selection,
): boolean {
  const { partitions, fromMs, toMs, fromId, toId, key, properties } = selection;
  if (partitions !== undefined && !partitions.includes(message.id.partition)) return false;
  if (fromMs !== undefined && message.publishTimeMs < fromMs) return false;
  if (toMs !== undefined && message.publishTimeMs >= toMs) return false;
  if (fromId !== undefined && compareMessageIds(message.id, fromId) < 0) return false;
  if (toId !== undefined && compareMessageIds(message.id, toId) > 0) return false;
  if (key !== undefined && textOf(message.key) !== key) return false;
  return (properties ?? []).every(([name, value]) =>
    message.properties.some(([own, content]) => own === name && content === value),
  );
}

const textOf = (key: Message['key']): string | undefined =>
  key === undefined || typeof key === 'string' ? key : Buffer.from(key).toString('utf8');
