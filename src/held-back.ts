// Log events and hints for messages that a broker holds back. This is a state, not a failure: the messages stay in
// the subscription, and a later run gets them. partition/silence.ts detects it.
import type { HeldBackReason, Logger } from './ports.ts';

/** What to do about messages in chunks that were left for later runs. */
export const TOO_LITTLE_MEMORY_HINT =
  'Messages in chunks did not fit into memory beside others: the next runs take them. If it lasts, give the function more memory (memorySize in serverless.yml; at a shell, --memory).';

const HINTS: Readonly<Record<HeldBackReason, string>> = {
  'incomplete chunks': 'The rest of a message in chunks has not come; see the lines before.',
  'too little memory': TOO_LITTLE_MEMORY_HINT,
  'open transaction':
    'They come when their transaction ends, at its time-out at the latest. If they stay, look for a client that opens transactions and does not end them.',
  'delayed messages': 'They come when they are due.',
  'none to deliver':
    'Nothing waits: the broker still counts entries of ledgers that are deleted, also beside new messages. There is nothing to do.',
  unknown:
    'If it stays, look at the subscription in the TDMQ console: at what other consumers have not acknowledged, and whether an unload of the topic helps.',
};

/** Logs what is held back in a partition; at `warn` where the reason is not known. `entries`: where the broker reports it. */
export function logHeldBack(
  logger: Logger,
  topic: string,
  reasons: readonly HeldBackReason[],
  entries: number | undefined,
): void {
  const reason = heldBackText(reasons);
  const hint = reasons.map((one) => HINTS[one]).join(' ');
  const fields = { topic, entries, reason, hint };
  if (reasons.includes('unknown')) logger.warn(fields, 'backlog held back');
  else logger.info(fields, 'backlog held back');
}

/** The reasons as a summary has them: each once, joined by `, `. */
export function heldBackText(reasons: Iterable<HeldBackReason>): string {
  return [...new Set(reasons)].sort().join(', ');
}
