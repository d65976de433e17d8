// What `smoke` leaves behind, as far as it knows at any moment, and what a person can do about it.

/** The property of each marked message; its value is the mark. */
export const MARK_PROPERTY = 'tdmq-backup-smoke';

/** Grows while the command works; it is the `left` of its JSON. */
export interface Traces {
  readonly topic: string;
  /** The value of the property of every marked message. */
  readonly mark: string;
  /** Marked messages that the broker has. */
  messages: number;
  /** Marked messages that were sent and had no receipt: they may be in the topic. */
  unconfirmed: number;
  /** Runs of the function that the command started. */
  readonly requestIds: string[];
  /** Objects with marked messages. */
  objects: readonly string[];
  /** Manifests of the runs. */
  readonly manifests: string[];
}

/** Nothing is left yet. */
export const startTraces = (topic: string, mark: string): Traces => ({
  topic,
  mark,
  messages: 0,
  unconfirmed: 0,
  requestIds: [],
  objects: [],
  manifests: [],
});

/** The traces for a person, with what can be removed and how; no lines where nothing is left. */
export function tracesLines(traces: Traces, rule: string): string[] {
  const { topic, mark, messages, unconfirmed, requestIds, objects, manifests } = traces;
  if (messages + unconfirmed + requestIds.length === 0) return [];
  const lines = ['', 'Left behind:'];
  if (messages + unconfirmed > 0) {
    const maybe = unconfirmed > 0 ? `, and ${unconfirmed} that may be there` : '';
    lines.push(
      `  messages   ${messages} in ${topic}${maybe}, with the property ${MARK_PROPERTY}=${mark}`,
      '             They cannot be removed; TDMQ drops them when their retention ends.',
    );
  }
  if (requestIds.length > 0) lines.push(`  runs       ${requestIds.join(', ')}`);
  for (const key of objects) lines.push(`  object     ${key}`);
  for (const key of manifests) lines.push(`  manifest   ${key}`);
  if (objects.length + manifests.length > 0) {
    lines.push(
      '             Leave them: of an object that is removed, `archive verify` reports a loss. They go with all',
      `             of the rule's objects: tdmq-backup rule delete ${rule} --delete-objects`,
    );
  }
  return lines;
}
