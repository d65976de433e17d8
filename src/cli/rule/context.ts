// What the rule commands share: their common flags, the account and region they work in, how slow steps are shown,
// and the question before something that cannot be undone.

import type { BackupError } from '../../errors.ts';
import type { BucketAccess } from '../../rules/bucket-lookup.ts';
import { type Cloud, openCloud } from '../../rules/cloud.ts';
import { findCredentials, findRegion } from '../../rules/credentials.ts';
import type { Terminal } from '../command.ts';
import { parseArgs } from '../parse-args.ts';
import { openPrompt } from '../terminal/prompt.ts';
import { CLEAR_LINE } from '../terminal/safe-output.ts';
import { UsageError } from '../usage-error.ts';

/** Flags of every rule command. */
export const COMMON_FLAGS = {
  region: { type: 'string' },
  profile: { type: 'string' },
  json: { type: 'boolean', default: false },
} as const;

/** The last lines of every help. */
export const COMMON_HELP = `
  --region NAME    the region; by default TENCENTCLOUD_REGION or that of the profile
  --profile NAME   a profile of the Tencent CLI (~/.tccli), in place of the environment's keys
  --json           the answer as JSON on stdout

API keys come from TENCENTCLOUD_SECRET_ID, TENCENTCLOUD_SECRET_KEY and TENCENTCLOUD_TOKEN, from the Tencent CLI's
profile, or from the role of the CVM. They are never taken from the command line.

Exit codes: 0 fine, 1 failed, 2 wrong usage, 130 interrupted.`;

/** The account that the flags and the environment name: its APIs, and its buckets. @throws BackupError `config` */
export async function openAccount(
  values: { readonly region?: string | undefined; readonly profile?: string | undefined },
  terminal: Terminal,
  fallbackRegion?: string,
): Promise<{ cloud: Cloud; access: BucketAccess }> {
  const query = { env: terminal.env, profile: values.profile, signal: terminal.signal };
  const region = await findRegion({ ...query, region: values.region ?? fallbackRegion });
  const { credentials } = await findCredentials(query);
  const cloud = openCloud({
    credentials,
    region,
    // For tests and private gateways; the requests stay addressed to the API's own domains.
    endpoint: terminal.env['TENCENTCLOUD_API_ENDPOINT'] || undefined,
    signal: terminal.signal,
    ...(terminal.clock && { clock: terminal.clock }),
    onRetry: (error: BackupError) => terminal.stderr.write(`${error.message}; trying again\n`),
  });
  const access: BucketAccess = {
    credentials,
    endpoint: terminal.env['TENCENTCLOUD_COS_ENDPOINT'] || undefined,
    signal: terminal.signal,
  };
  return { cloud, access };
}

/** The one rule that a command is about, and its flags. */
export function parseOneName<T extends NonNullable<Parameters<typeof parseArgs>[0]>['options']>(
  args: readonly string[],
  options: T,
) {
  const { values, positionals } = parseArgs({
    args: [...args],
    options: { ...COMMON_FLAGS, ...options },
    allowPositionals: true,
  });
  const [name, ...more] = positionals;
  if (name === undefined) throw new UsageError('name the rule');
  if (more.length > 0) throw new UsageError(`one rule at a time: ${more.join(' ')} is too much`);
  return { values, name };
}

/**
 * Whether a person can be asked. Questions go to stderr, so that stdout stays for the answer. A dumb terminal shows no
 * lists, and Node gives it neither Backspace nor arrow keys.
 */
export const isInteractive = (terminal: Terminal) =>
  terminal.stdin.isTTY === true && terminal.stderr.isTTY === true && terminal.env['TERM'] !== 'dumb';

/** Asks before something is done, no first; where nobody can be asked, `--yes` must have said so. */
export async function confirm(question: string, isSaid: boolean, terminal: Terminal): Promise<boolean> {
  if (isSaid) return true;
  if (!isInteractive(terminal)) throw new UsageError('nobody can be asked here: pass --yes');
  const prompt = await openPrompt(terminal);
  const answer = await prompt.pick(question, [
    { label: 'no', value: false },
    { label: 'yes', value: true },
  ]);
  return answer === true;
}

/** Shows that something slow is under way, and for how long: on a terminal only, and gone when it has ended. */
export async function whileWaiting<T>(what: string, terminal: Terminal, work: () => Promise<T>): Promise<T> {
  if (terminal.stderr.isTTY !== true) return work();
  const startedMs = Date.now();
  const show = () => {
    const seconds = Math.round((Date.now() - startedMs) / 1_000);
    terminal.stderr.write(`${CLEAR_LINE}… ${what}${seconds > 2 ? ` (${seconds} s)` : ''}`);
  };
  show();
  const timer = setInterval(show, 1_000);
  try {
    return await work();
  } finally {
    clearInterval(timer);
    terminal.stderr.write(CLEAR_LINE);
  }
}

/** `3 min ago`, for columns. */
export function formatAgo(ms: number | undefined, nowMs: number, otherwise = '–'): string {
  if (ms === undefined) return otherwise;
  const minutes = Math.max(0, Math.round((nowMs - ms) / 60_000));
  if (minutes < 2) return minutes === 0 ? 'now' : '1 min ago';
  if (minutes < 120) return `${minutes} min ago`;
  return minutes < 2_880 ? `${Math.round(minutes / 60)} h ago` : `${Math.round(minutes / 1_440)} days ago`;
}
