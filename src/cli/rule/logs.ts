// `tdmq-backup rule logs`: the history of a rule's runs as a table, the lines of one run, or the runs as they come.
import { BackupError } from '../../errors.ts';
import { parseTimeText, TIME_EXPECTED } from '../../lib/time-text.ts';
import { visibleText } from '../../lib/visible-text.ts';
import type { Cloud } from '../../rules/cloud.ts';
import { findRule, type Rule } from '../../rules/rule.ts';
import { keyOf, type LogLine, type RunRecord, readRunLines, readRuns } from '../../rules/run-history.ts';
import type { Command, Terminal } from '../command.ts';
import { paint } from '../terminal/paint.ts';
import { formatBytes, formatTable } from '../terminal/table.ts';
import { UsageError } from '../usage-error.ts';
import { COMMON_HELP, openAccount, parseOneName } from './context.ts';

/** What a shell sees of a program that Ctrl-C has ended. */
const INTERRUPTED = 130;
const FOLLOW_EVERY_MS = 5_000;
/** CLS shows lines with some delay, so each look goes back further than the last one reached. */
const FOLLOW_OVERLAP_MS = 300_000;

export const command: Command = {
  summary: 'the history of its runs, or the lines of one',
  help: `
Usage: tdmq-backup rule logs NAME [--errors] [--since 24h] [--limit 50] [--follow]
       tdmq-backup rule logs NAME --request ID

Reads the function's log topic in CLS. Where it has none, the message says how to switch it on.

  --errors         failed runs only
  --since TIME     how far back: 30m, 24h, 7d, or a time (UTC without a zone); by default 24h
  --limit N        at most so many runs, by default 50
  --request ID     every line of one run, by its request id
  --follow, -f     goes on with the runs as they end, until Ctrl-C (exit code 130)
${COMMON_HELP}

Examples:
  tdmq-backup rule logs orders-backup
  tdmq-backup rule logs orders-backup --errors --since 7d
  tdmq-backup rule logs orders-backup --request 3f0e6d0a-8a4c-4b64-9a57-0f2d1c3b4a59
`,
  async run(args, terminal) {
    const { values, name } = parseOneName(args, {
      errors: { type: 'boolean', default: false },
      since: { type: 'string', default: '24h' },
      limit: { type: 'string', default: '50' },
      request: { type: 'string' },
      follow: { type: 'boolean', short: 'f', default: false },
    });
    if (!/^[1-9]\d{0,3}$/.test(values.limit)) throw new UsageError('--limit: expected 1 to 9999');
    const { cloud } = await openAccount(values, terminal);
    const nowMs = cloud.clock.now();
    const fromMs = sinceMs(values.since, nowMs);
    const rule = await findRule(cloud, name);
    const { json } = values;
    if (values.request !== undefined) {
      const range = { fromMs: Math.min(fromMs, nowMs - 7 * 86_400_000), limit: 10_000 };
      const lines = await readRunLines(cloud, rule, values.request, range);
      if (lines.length === 0) {
        terminal.stderr.write(`No lines of ${values.request} within a week.\n`);
        return 1;
      }
      for (const line of lines)
        terminal.stdout.write(`${json ? jsonLine(line) : visibleText(textLine(line))}\n`);
      return 0;
    }
    const query = { fromMs, limit: Number(values.limit), errorsOnly: values.errors };
    const runs = await readRuns(cloud, rule, query);
    const print = json ? printJson(terminal) : printTable(terminal);
    if (values.follow) return await follow(cloud, rule, { errors: values.errors, runs, print, terminal });
    if (runs.length === 0 && !json) terminal.stdout.write('No runs in this time.\n');
    else print(runs);
    const [last] = runs;
    if (!json && last?.result === 'failed' && last.hint !== undefined)
      terminal.stdout.write(`→ ${visibleText(last.hint)}\n`);
    return 0;
  },
};

function sinceMs(text: string, nowMs: number): number {
  const [, count, unit] = /^(\d+)([mhd])$/.exec(text) ?? [];
  if (count !== undefined) {
    return nowMs - Number(count) * { m: 60_000, h: 3_600_000, d: 86_400_000 }[unit as 'm' | 'h' | 'd'];
  }
  const ms = parseTimeText(text);
  if (ms === undefined) throw new UsageError(`--since ${text}: expected 30m, 24h, 7d or ${TIME_EXPECTED}`);
  if (ms > nowMs) throw new UsageError(`--since ${text} is in the future`);
  return ms;
}

const HEAD = ['time', 'result', 'messages', 'objects', 'bytes', 'duration', 'request', 'error'];

const cells = (run: RunRecord): (string | number)[] => [
  new Date(run.endedAtMs).toISOString().replace('T', ' ').slice(0, 19),
  run.result === 'ok' ? (run.stopReason ?? 'ok') : 'failed',
  run.messages,
  run.objects,
  formatBytes(run.recordBytes),
  run.durationMs === undefined ? '–' : `${(run.durationMs / 1_000).toFixed(1)} s`,
  run.requestId,
  run.error ?? (run.unreadable > 0 ? `${run.unreadable} unreadable` : ''),
];

/** Prints runs given newest first, the newest last: there a person's eye is. */
type PrintRuns = (runs: readonly RunRecord[]) => void;

/** A table that can be continued: further runs use its columns. */
function printTable(terminal: Terminal): PrintRuns {
  const { bold, red } = paint(terminal.stdout, terminal.env);
  const rows: (string | number)[][] = [];
  let isBegun = false;
  return (runs) => {
    rows.push(...runs.map(cells).reverse());
    const [head = '', ...lines] = formatTable(HEAD, rows);
    if (!isBegun) terminal.stdout.write(`${bold(head)}\n`);
    isBegun = true;
    for (const line of lines.slice(lines.length - runs.length)) {
      terminal.stdout.write(
        `${line.replace(/^(\S+ \S+ +)failed/, (_, time: string) => time + red('failed'))}\n`,
      );
    }
    rows.splice(0, rows.length - 100);
  };
}

const printJson =
  (terminal: Terminal): PrintRuns =>
  (runs) => {
    for (const { endedAtMs, ...run } of [...runs].reverse()) {
      terminal.stdout.write(`${JSON.stringify({ endedAt: new Date(endedAtMs).toISOString(), ...run })}\n`);
    }
  };

const jsonLine = ({ timeMs, fields }: LogLine) =>
  JSON.stringify({ time: new Date(timeMs).toISOString(), ...fields });

function textLine({ timeMs, fields }: LogLine): string {
  const { time, level, message, rule: _rule, requestId: _requestId, ...rest } = fields;
  const at = typeof time === 'string' ? time : new Date(timeMs).toISOString();
  const more = Object.entries(rest).map(
    ([key, value]) => `${key}=${typeof value === 'string' ? JSON.stringify(value) : JSON.stringify(value)}`,
  );
  return [at, level ?? '', message ?? '', ...more].filter((part) => part !== '').join('  ');
}

interface Following {
  readonly errors: boolean;
  /** Those to begin with, the newest first. */
  readonly runs: readonly RunRecord[];
  readonly print: PrintRuns;
  readonly terminal: Terminal;
}

/** Goes on until Ctrl-C, or until nobody reads it any more, over whatever passes: a log service that throttles, a network that is gone for a while. */
async function follow(
  cloud: Cloud,
  rule: Rule,
  { errors, runs, print, terminal }: Following,
): Promise<0 | typeof INTERRUPTED> {
  print(runs);
  const seen = new Set(runs.map(keyOf));
  const held = new Set<string>();
  let reachedMs = cloud.clock.now();
  let isRead = true;
  const onGone = () => {
    isRead = false;
  };
  terminal.stdout.once('error', onGone);
  while (!terminal.signal.aborted && isRead) {
    try {
      await cloud.clock.sleep(FOLLOW_EVERY_MS, terminal.signal);
      const nowMs = cloud.clock.now();
      const found = await readRuns(cloud, rule, {
        fromMs: reachedMs - FOLLOW_OVERLAP_MS,
        limit: 1_000,
        errorsOnly: errors,
        signal: terminal.signal,
      });
      const news = found.filter((run) => !seen.has(keyOf(run)));
      // Where there is but SCF's line of a run, ours may be a moment behind it, and says more.
      const ready = news.filter((run) => !run.isEndedByScf || held.has(keyOf(run)));
      for (const run of news) held.add(keyOf(run));
      for (const run of ready) seen.add(keyOf(run));
      if (ready.length > 0) print(ready);
      reachedMs = nowMs;
    } catch (error) {
      if (terminal.signal.aborted) break;
      if (!(error instanceof BackupError && error.retryable)) throw error;
      terminal.stderr.write(`${visibleText(error.message)}; going on\n`);
    }
  }
  terminal.stdout.removeListener('error', onGone);
  return terminal.signal.aborted ? INTERRUPTED : 0;
}
