// What `check` finds, item by item.
import { BackupError, messageOf } from '../errors.ts';
import type { Finding } from '../rules/finding.ts';

export { type Finding, fail, ok, warn } from '../rules/finding.ts';

/** A failed call as a finding, with the service's own words. */
export function failed(item: string, error: unknown, status: 'warn' | 'fail' = 'fail'): Finding {
  const { hint, details } = error instanceof BackupError ? error : { hint: undefined, details: {} };
  const words = Object.entries(details).map(([name, value]) => `${name} ${value}`);
  const cause = words.length === 0 ? messageOf(error) : `${messageOf(error)} (${words.join(', ')})`;
  return { item, status, cause, hint: hint ?? 'Try again; if it stays, see the log lines of the function.' };
}

/** The HTTP status that COS answered with, where it did. */
export function httpStatusOf(error: unknown): number | undefined {
  const status = error instanceof BackupError ? error.details['status'] : undefined;
  return typeof status === 'number' ? status : undefined;
}
