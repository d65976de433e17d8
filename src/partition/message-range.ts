// A range of consecutive messages: the ids of both ends, and the range of publish times. Keeps no message.
import { formatIdRun, idRunsOf } from '../format/contents.ts';
import { formatTime } from '../format/record.ts';
import type { PublishTimes } from '../format/run-manifest.ts';
import type { Message, PackedBatch, TimeMs } from '../ports.ts';

/** The fields that a file keeps of its first and last message. A whole message would keep its entry in memory. */
export type MessageMark = Pick<Message, 'id' | 'publishTimeMs'>;

/** The range of publish times: those of consecutive messages need not increase, since producers' clocks differ. */
export interface PublishSpan {
  readonly first: MessageMark;
  readonly last: MessageMark;
  readonly earliestMs: TimeMs;
  readonly latestMs: TimeMs;
}

/** Consecutive messages, by their ends. */
export interface MessageRange extends PublishSpan {
  readonly messages: number;
  /** Which they are (contents.ts), if that is asked for. */
  readonly idRuns?: readonly string[];
}

/** The fields of a range in a manifest; the earliest and latest time only if they are not those of the ends. */
export function describeSpan({ first, last, earliestMs, latestMs }: PublishSpan): PublishTimes {
  const ends = [first.publishTimeMs, last.publishTimeMs];
  return {
    firstPublishTime: formatTime(first.publishTimeMs),
    lastPublishTime: formatTime(last.publishTimeMs),
    ...(ends.every((timeMs) => earliestMs < timeMs) ? { earliestPublishTime: formatTime(earliestMs) } : {}),
    ...(ends.every((timeMs) => latestMs > timeMs) ? { latestPublishTime: formatTime(latestMs) } : {}),
  };
}

/** The range of these messages (at least one). Keeps none of them. */
export function rangeOf(messages: readonly Message[], withIds = false): MessageRange {
  const [first, last] = [messages[0] as Message, messages[messages.length - 1] as Message];
  let earliestMs = first.publishTimeMs;
  let latestMs = earliestMs;
  for (const { publishTimeMs } of messages) {
    if (publishTimeMs < earliestMs) earliestMs = publishTimeMs;
    if (publishTimeMs > latestMs) latestMs = publishTimeMs;
  }
  return {
    earliestMs,
    latestMs,
    messages: messages.length,
    ...(withIds && { idRuns: idRunsOf(messages) }),
    first: { id: first.id, publishTimeMs: first.publishTimeMs },
    last: { id: last.id, publishTimeMs: last.publishTimeMs },
  };
}

/** The range of the messages of a batch. */
export function rangeOfPacked({ count, common }: PackedBatch, withIds = false): MessageRange {
  const { id, publishTimeMs } = common;
  return {
    earliestMs: publishTimeMs,
    latestMs: publishTimeMs,
    messages: count,
    ...(withIds && { idRuns: [formatIdRun(id, 0, count - 1)] }),
    first: { id, publishTimeMs },
    last: { id: { ...id, batchIndex: count - 1 }, publishTimeMs },
  };
}
