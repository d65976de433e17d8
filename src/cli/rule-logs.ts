// `tdmq-backup rule logs`: the history of a rule's runs as a table, the lines of one run, or the runs as they come.

import type { Cloud } from '../rules/cloud.ts';
import { findRule, type Rule } from '../rules/rule.ts';
import { type LogLine, type RunRecord, readRunLines, readRuns } from '../rules/run-history.ts';
import type { Command, Io } from './command.ts';
import { paint } from './paint.ts';
import { COMMON_HELP, openAccount, parseOneName } from './rule-context.ts';
import { formatBytes, formatTable } from './table.ts';
import { UsageError } from './usage-error.ts';

const FOLLOW_EVERY_MS = 5_000;
/** CLS shows lines with some delay, so each look goes back further than the last one reached. */
const FOLLOW_OVERLAP_MS = 120_000;

export const command: Command = {
  summary: 'the history of its runs, or the lines of one',
  help: `
Usage: tdmq-backup rule logs NAME [--errors] [--since 24h] [--limit 50] [--follow]
       tdmq-backup rule logs NAME --request ID

Reads the function's log topic in CLS. Where it has none, the message says how to switch it on.

  --errors         failed runs only
  --since TIME     how far back: 30m, 24h, 7d, or an ISO time; by default 24h
  --limit N        at most so many runs, by default 50
  --request ID     every line of one run, by its request id
  --follow         goes on with the runs as they end, until Ctrl-C
${COMMON_HELP}

Examples:
  tdmq-backup rule logs orders-backup
  tdmq-backup rule logs orders-backup --errors --since 7d
  tdmq-backup rule logs orders-backup --request 3f0e6d0a-8a4c-4b64-9a57-0f2d1c3b4a59
`,
  async run(args, io) {
    const { values, name } = parseOneName(args, {
      errors: { type: 'boolean', default: false },
      since: { type: 'string', default: '24h' },
      limit: { type: 'string', default: '50' },
      request: { type: 'string' },
      follow: { type: 'boolean', default: false },
    });
    if (!/^[1-9]\d{0,3}$/.test(values.limit)) throw new UsageError('--limit: expected 1 to 9999');
    const { cloud } = await openAccount(values, io);
    const nowMs = cloud.clock.now();
    const fromMs = sinceMs(values.since, nowMs);
    const rule = await findRule(cloud, name);
    if (values.request !== undefined) {
      const range = { fromMs: Math.min(fromMs, nowMs - 7 * 86_400_000), toMs: nowMs + 1_000, limit: 10_000 };
      const lines = await readRunLines(cloud, rule, values.request, range);
      if (lines.length === 0) {
        io.stderr.write(`No lines of ${values.request} within a week.\n`);
        return 1;
      }
      for (const line of lines) io.stdout.write(`${values.json ? jsonLine(line) : textLine(line)}\n`);
      return 0;
    }
    const query = { fromMs, toMs: nowMs + 1_000, limit: Number(values.limit), errorsOnly: values.errors };
    const runs = await readRuns(cloud, rule, query);
    if (values.json) for (const run of [...runs].reverse()) io.stdout.write(`${jsonRun(run)}\n`);
    else showRuns(runs, io);
    if (values.follow) await follow(cloud, rule, { errors: values.errors, json: values.json, runs, io });
    return 0;
  },
};

function sinceMs(text: string, nowMs: number): number {
  const [, count, unit] = /^(\d+)([mhd])$/.exec(text) ?? [];
  if (count !== undefined) {
    return nowMs - Number(count) * { m: 60_000, h: 3_600_000, d: 86_400_000 }[unit as 'm' | 'h' | 'd'];
  }
  const ms = /^\d{4}-\d\d-\d\d/.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(ms)) throw new UsageError(`--since ${text}: expected 30m, 24h, 7d or an ISO time`);
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

function showRuns(runs: readonly RunRecord[], io: Io): void {
  const { bold, red } = paint(io.stdout, io.env);
  if (runs.length === 0) {
    io.stdout.write('No runs in this time.\n');
    return;
  }
  // The newest last, where a person's eye is.
  const shown = [...runs].reverse();
  const [head = '', ...lines] = formatTable(HEAD, shown.map(cells));
  io.stdout.write(`${bold(head)}\n`);
  lines.forEach((line, i) => {
    io.stdout.write(`${shown[i]?.result === 'failed' ? line.replace('failed', red('failed')) : line}\n`);
  });
  const last = runs.find((run) => run.hint !== undefined);
  if (last?.hint !== undefined && last.result === 'failed') io.stdout.write(`→ ${last.hint}\n`);
}

const jsonRun = ({ endedAtMs, ...run }: RunRecord) =>
  JSON.stringify({ endedAt: new Date(endedAtMs).toISOString(), ...run });

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
  readonly json: boolean;
  readonly runs: readonly RunRecord[];
  readonly io: Io;
}

async function follow(cloud: Cloud, rule: Rule, { errors, json, runs, io }: Following): Promise<void> {
  const seen = new Set(runs.map((run) => run.requestId));
  for (let sinceMs = cloud.clock.now(); !io.signal.aborted; ) {
    try {
      await cloud.clock.sleep(FOLLOW_EVERY_MS, io.signal);
      const nowMs = cloud.clock.now();
      const found = await readRuns(cloud, rule, {
        fromMs: sinceMs - FOLLOW_OVERLAP_MS,
        toMs: nowMs + 1_000,
        limit: 1_000,
        errorsOnly: errors,
      });
      for (const run of found.reverse().filter((one) => !seen.has(one.requestId))) {
        seen.add(run.requestId);
        io.stdout.write(`${json ? jsonRun(run) : cells(run).join('  ').trimEnd()}\n`);
      }
      sinceMs = nowMs;
    } catch (error) {
      if (!io.signal.aborted) throw error;
    }
  }
}
