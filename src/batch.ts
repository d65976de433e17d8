// When a file is full: limits, and nothing else. Asked before an entry is added (fits?) and after (full?).

export interface Limits {
  readonly maxMessages: number;
  /** Of uncompressed records. */
  readonly maxBytes: number;
}

/** How much an open file holds, or would get. */
export interface Size {
  readonly messages: number;
  readonly bytes: number;
}

/** Why a file was closed. */
export type RollReason = 'messages' | 'bytes' | 'age' | 'end' | 'deadline';

/** The limit that adding `more` to `open` would pass; `undefined` where it fits. The first addition always fits. */
export function limitPassedBy(open: Size, more: Size, limits: Limits): 'messages' | 'bytes' | undefined {
  if (open.messages === 0) return undefined;
  if (open.messages + more.messages > limits.maxMessages) return 'messages';
  if (open.bytes + more.bytes > limits.maxBytes) return 'bytes';
  return undefined;
}

/** The limit that `open` has reached; `undefined` where there is room. */
export function limitReachedBy(open: Size, limits: Limits): 'messages' | 'bytes' | undefined {
  if (open.messages >= limits.maxMessages) return 'messages';
  if (open.bytes >= limits.maxBytes) return 'bytes';
  return undefined;
}

/** Whether an entry is larger than a file may be, so that it has to be split over several. */
export function needsSplit(entry: Size, limits: Limits): boolean {
  return entry.messages > 1 && (entry.messages > limits.maxMessages || entry.bytes > limits.maxBytes);
}
