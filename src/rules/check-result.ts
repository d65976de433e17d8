// What checking one thing that a rule needs comes to: settings, broker, bucket, network.
import { BackupError, messageOf } from '../errors.ts';

/** One thing that was looked at. */
export interface CheckResult {
  readonly item: string;
  readonly status: 'ok' | 'warn' | 'fail';
  /** What was found, in a sentence. */
  readonly cause: string;
  /** What to do, unless all is well. */
  readonly hint?: string;
}

/** All is well. */
export const ok = (item: string, cause: string): CheckResult => ({ item, status: 'ok', cause });

/** It works, but. */
export const warn = (item: string, cause: string, hint: string): CheckResult => ({
  ...{ item, status: 'warn', cause, hint },
});

/** It will not work. */
export const fail = (item: string, cause: string, hint: string): CheckResult => ({
  ...{ item, status: 'fail', cause, hint },
});

/** The call that should have shown it failed; with the service's own words. */
export function failed(item: string, error: unknown, status: 'warn' | 'fail' = 'fail'): CheckResult {
  const { hint, details } = error instanceof BackupError ? error : { hint: undefined, details: {} };
  const words = Object.entries(details).map(([name, value]) => `${name} ${value}`);
  const cause = words.length === 0 ? messageOf(error) : `${messageOf(error)} (${words.join(', ')})`;
  return { item, status, cause, hint: hint ?? 'Try again; if it stays, see the log lines of the function.' };
}
