// Whether a namespace keeps unread messages long enough for a rule: Pulsar drops them after its time to live.
import { type CheckResult, fail, ok, warn } from './check-result.ts';

/** Runs that may fail in a row before unread messages are dropped; with fewer it is worth a warning. */
const RUNS_WITHIN_TTL = 12;

/** Whether that many failed runs would lose messages. `undefined` or 0: they are kept for ever. */
export const isShortTimeToLive = (ttlSeconds: number | undefined, intervalSeconds: number): boolean =>
  ttlSeconds !== undefined && ttlSeconds > 0 && ttlSeconds < RUNS_WITHIN_TTL * intervalSeconds;

/** What a rule that runs so often can expect of it; nothing where messages are kept for ever. */
export function checkTimeToLive(ttlSeconds: number | undefined, intervalSeconds: number): CheckResult[] {
  if (ttlSeconds === undefined || ttlSeconds <= 0) return [];
  const item = 'time to live';
  const runs = Math.floor(ttlSeconds / intervalSeconds);
  if (!isShortTimeToLive(ttlSeconds, intervalSeconds))
    return [ok(item, `unread messages are kept for ${ttlSeconds} s, ${runs} runs`)];
  const danger = runs < 2 ? 'messages can be lost in daily running' : `${runs} failed runs lose messages`;
  const judge = runs < 2 ? fail : warn;
  return [
    judge(
      item,
      `the namespace drops unread messages after ${ttlSeconds} s, and the rule runs every ${intervalSeconds} s: ${danger}`,
      'Raise the time to live of the namespace in the TDMQ console; a day or more leaves time to act.',
    ),
  ];
}
