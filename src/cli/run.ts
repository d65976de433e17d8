// `tdmq-backup run`: one run of the rule from a shell or a container, by the code that the function runs.

import type { Summary } from '../format/run-manifest.ts';
import { handleInvocation, REAL_PARTS } from '../handler.ts';
import { createLogger } from '../logger.ts';
import type { SourcePartition } from '../ports.ts';
import type { Tally } from '../run/run-context.ts';
import type { Command, Terminal } from './command.ts';
import { parseArgs } from './parse-args.ts';
import { ruleEnvironment } from './rule/environment.ts';
import { formatLogLine } from './terminal/log-line.ts';
import { paint } from './terminal/paint.ts';
import { bar, type Progress, startProgress } from './terminal/progress.ts';
import { formatBytes } from './terminal/table.ts';
import { UsageError } from './usage-error.ts';

/** Nobody kills a run in a shell: long enough for any history, and a time that timers can hold. */
const NO_LIMIT_MINUTES = 30_000;
const LOOK_EVERY_MS = 1_000;

export const command: Command = {
  summary: 'run a rule once, here, with no time limit',
  help: `
Usage: tdmq-backup run [--env-file FILE] [--minutes N] [--memory MB] [--logs]

Drains the subscription once, as the function does, up to the last message that is there when it begins: for the first
archive of a long history, or in a container instead of SCF. Settings are those of the rule; API keys are
TENCENTCLOUD_SECRET_ID and TENCENTCLOUD_SECRET_KEY (and TENCENTCLOUD_TOKEN for temporary ones), those of the Tencent
CLI's profile, or those of the CVM's role.
At a terminal it shows its progress, elsewhere the function's log lines. Ctrl-C stores and acknowledges what is open
and ends; the next run goes on from there.

  --minutes N   ends in time to be done after so many minutes; no limit by default
  --memory MB   how much memory it may plan with; 1024 by default
  --logs        log lines at a terminal too

Examples:
  tdmq-backup run --env-file .env.orders
  tdmq-backup run --env-file .env.orders --minutes 60 | tee run.log
`,
  isForPrograms: true,
  async run(args, terminal) {
    const { values } = parseArgs({
      args: [...args],
      options: {
        minutes: { type: 'string', default: String(NO_LIMIT_MINUTES) },
        memory: { type: 'string', default: '1024' },
        logs: { type: 'boolean', default: false },
      },
    });
    const minutes = wholeNumber('--minutes', values.minutes, 1, NO_LIMIT_MINUTES);
    const memoryMb = wholeNumber('--memory', values.memory, 128, 65_536);
    const context = {
      request_id: `cli-${process.pid}-${Date.now()}`,
      time_limit_in_ms: minutes * 60_000,
      memory_limit_in_mb: memoryMb,
    };
    return await runOnce(context, terminal, values.logs || terminal.stdout.isTTY !== true);
  },
};

function wholeNumber(option: string, text: string, min: number, max: number): number {
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (value >= min && value <= max) return value;
  throw new UsageError(`${option} must be a whole number from ${min} to ${max}`);
}

async function runOnce(
  context: Parameters<typeof handleInvocation>[1],
  terminal: Terminal,
  asLogLines: boolean,
): Promise<number> {
  const env = await ruleEnvironment(terminal);
  const write = (line: string): void => void terminal.stdout.write(line);
  if (asLogLines) {
    await handleInvocation(env, context, {
      ...REAL_PARTS,
      runsFrom: 'shell',
      createLogger: (options) => createLogger({ ...options, destination: { write } }),
      stop: terminal.signal,
    });
    return exitCode(terminal);
  }
  const view = watchRun(terminal);
  try {
    const summary = await handleInvocation(env, context, {
      ...REAL_PARTS,
      runsFrom: 'shell',
      createLogger: (options) => createLogger({ ...options, destination: { write: view.onLine } }),
      createSource: async (options) => {
        const source = await REAL_PARTS.createSource(options);
        return {
          driver: source.driver,
          open: async () => {
            const partitions = await source.open();
            if (partitions !== 'busy') view.watch(partitions);
            return partitions;
          },
          close: () => source.close(),
        };
      },
      onStart: view.onStart,
      stop: terminal.signal,
    });
    view.finish(summary);
    return exitCode(terminal);
  } finally {
    view.end();
  }
}

const exitCode = (terminal: Terminal): number => (terminal.signal.aborted ? 130 : 0);

/** The one line at the terminal: how far, how much, how fast. */
function watchRun(terminal: Terminal) {
  const progress: Progress = startProgress(terminal.stdout);
  const { yellow, green, dim } = paint(terminal.stdout, terminal.env);
  const startedMs = Date.now();
  let tally: Readonly<Tally> | undefined;
  let share: number | undefined;
  let timer: NodeJS.Timeout | undefined;

  const show = () => {
    if (tally === undefined) return;
    const seconds = (Date.now() - startedMs) / 1_000;
    const rate = Math.round(tally.messages / seconds).toLocaleString('en-US');
    const done = share === undefined ? '' : `${bar(share)} ${Math.floor(share * 100)} %  `;
    progress.update(
      `${done}${tally.messages.toLocaleString('en-US')} messages in ${tally.objects} objects  ${formatBytes(tally.recordBytes)}  ${rate}/s`,
    );
  };

  return {
    onStart: (counts: Readonly<Tally>) => {
      tally = counts;
    },
    /** Asks the broker now and then what is left: the one measure that fits batches and single messages alike. */
    watch: (partitions: readonly SourcePartition[]) => {
      let total: number | undefined;
      let isAsking = false;
      const look = async () => {
        show();
        if (isAsking) return;
        isAsking = true;
        const left = (await Promise.all(partitions.map((partition) => partition.backlog())))
          .map((backlog) => backlog?.entries ?? backlog?.messages)
          .reduce((sum, one) => (sum === undefined || one === undefined ? undefined : sum + one), 0);
        total ??= left;
        share = !total || left === undefined ? undefined : Math.max(0, 1 - left / total);
        isAsking = false;
      };
      timer = setInterval(() => void look().catch(() => undefined), LOOK_EVERY_MS);
      void look().catch(() => undefined);
    },
    /** Log lines that a person should see; `finish` reports the end, the command line a failure. */
    onLine: (line: string) => {
      if (/^\{"level":"(warn|error)"/.test(line) && !line.includes('"message":"run failed"'))
        progress.finish(yellow(`⚠ ${formatLogLine(line.trim())}`));
      show();
    },
    finish: (summary: Summary) => {
      const { messages, objects, recordBytes, alreadyStored, unreadable, stopReason } = summary;
      const { durationMs, lingering } = summary;
      const rest = [
        alreadyStored > 0 ? `${alreadyStored} objects were there already` : '',
        unreadable > 0 ? `${unreadable} unreadable entries kept` : '',
        lingering === undefined
          ? ''
          : `${lingering.messages.toLocaleString('en-US')} messages linger in the subscription`,
      ].filter(Boolean);
      const ending = {
        caught_up: 'caught up',
        deadline: 'stopped; run again to go on',
        busy: 'somebody else consumes this subscription just now; nothing to do here',
        failed: 'failed',
      }[stopReason];
      progress.finish(
        `${stopReason === 'caught_up' ? green('✓') : yellow('⚠')} ${messages.toLocaleString('en-US')} messages in ${objects} objects, ${formatBytes(recordBytes)}, ${(durationMs / 1_000).toFixed(1)} s: ${ending}`,
      );
      if (rest.length > 0) progress.finish(dim(`  ${rest.join('; ')}`));
    },
    end: () => clearInterval(timer),
  };
}
