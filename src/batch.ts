// The limits of a file, and nothing else: checked before an entry is added (does it fit?) and after (is the file
// full?).

export interface Limits {
  readonly maxMessages: number;
  /** Of uncompressed records. */
  readonly maxBytes: number;
}

/** The content of an open file, or of an addition to it. */
export interface Size {
  readonly messages: number;
  readonly bytes: number;
}

/** Why a file was closed. */
export type RollReason = 'messages' | 'bytes' | 'age' | 'end' | 'deadline';

/** The limit that adding `more` to `open` would exceed; `undefined` if it fits. The first addition always fits. */
export function limitPassedBy(open: Size, more: Size, limits: Limits): 'messages' | 'bytes' | undefined {
  if (open.messages === 0) return undefined;
  if (open.messages + more.messages > limits.maxMessages) return 'messages';
  if (open.bytes + more.bytes > limits.maxBytes) return 'bytes';
  return undefined;
}

/** The limit that `open` has reached; `undefined` if there is room. */
export function limitReachedBy(open: Size, limits: Limits): 'messages' | 'bytes' | undefined {
  if (open.messages >= limits.maxMessages) return 'messages';
  if (open.bytes >= limits.maxBytes) return 'bytes';
  return undefined;
}

/** Whether an entry is larger than a file and has to be split. */
export function needsSplit(entry: Size, limits: Limits): boolean {
  return entry.messages > 1 && (entry.messages > limits.maxMessages || entry.bytes > limits.maxBytes);
}
