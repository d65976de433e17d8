// `tdmq-backup rule run`: invokes the rule's function now and waits until the run has ended.
import type { Summary } from '../../format/run-manifest.ts';
import { invokeRule } from '../../rules/invocation.ts';
import { findRule } from '../../rules/rule.ts';
import type { Command } from '../command.ts';
import { paint } from '../terminal/paint.ts';
import { formatBytes } from '../terminal/table.ts';
import { COMMON_HELP, openAccount, parseOneName, whileWaiting } from './context.ts';

export const command: Command = {
  summary: 'run it now and wait',
  help: `
Usage: tdmq-backup rule run NAME

Invokes the function as its timer does, and reports how the run ended. Exit code 1 if it failed. At Ctrl-C the command
ends; the run goes on.
${COMMON_HELP}

Example:
  tdmq-backup rule run orders-backup
`,
  async run(args, terminal) {
    const { values, name } = parseOneName(args, {});
    const { cloud } = await openAccount(values, terminal);
    const rule = await findRule(cloud, name);
    terminal.stderr.write(`running ${rule.name}, at most ${rule.timeoutSeconds} s …\n`);
    let which = '';
    const run = await whileWaiting('waiting for the run', terminal, () =>
      invokeRule(cloud, rule, terminal.signal, (requestId) => {
        which = ` --request ${requestId}`;
      }),
    ).catch((error: unknown) => {
      if (terminal.signal.aborted) {
        terminal.stderr.write(
          `A run that has begun goes on in the cloud: tdmq-backup rule logs ${rule.name}${which}\n`,
        );
      }
      throw error;
    });
    const exitCode = run.result === 'ok' ? 0 : 1;
    if (values.json) {
      terminal.stdout.write(`${JSON.stringify(run)}\n`);
      return exitCode;
    }
    const { green, red } = paint(terminal.stdout, terminal.env);
    if (run.result === 'failed') {
      terminal.stdout.write(`${red('✗')} the run failed: ${run.error}\n`);
      terminal.stdout.write(`  → tdmq-backup rule logs ${rule.name} --request ${run.requestId}\n`);
      return exitCode;
    }
    const summary = (run.summary ?? {}) as Record<string, unknown>;
    const { messages, objects, recordBytes, stopReason } = summary;
    const lingering = (summary['lingering'] as Summary['lingering'])?.messages;
    const waiting = lingering === undefined ? '' : `; ${lingering.toLocaleString('en-US')} linger`;
    const outcome =
      typeof messages === 'number'
        ? `${messages.toLocaleString('en-US')} messages in ${objects} objects, ${formatBytes(Number(recordBytes ?? 0))} (${stopReason})${waiting}`
        : 'the function returned no summary';
    terminal.stdout.write(`${green('✓')} ${outcome}\n  request ${run.requestId}\n`);
    return exitCode;
  },
};
