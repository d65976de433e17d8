// Makes changes in the cloud for a person who watches, and may press Ctrl-C: shows the steps, and says what could
// not be undone.

import { BackupError } from '../../errors.ts';
import { systemClock } from '../../lib/clock.ts';
import { runSteps, type Step, type StepOptions } from '../../rules/steps.ts';
import type { Terminal } from '../command.ts';
import { paint } from '../terminal/paint.ts';
import { CLEAR_LINE } from '../terminal/safe-output.ts';

/** Runs the steps. @throws BackupError `rule` as runSteps does */
export async function makeChanges(steps: readonly Step[], terminal: Terminal): Promise<void> {
  const onAbort = () =>
    terminal.stderr.write(
      `${terminal.stderr.isTTY ? '\n' : ''}Interrupted: the call under way is waited for, then what was done is undone. Again ends at once and leaves it half-made.\n`,
    );
  terminal.signal.addEventListener('abort', onAbort, { once: true });
  const { clock = systemClock, signal } = terminal;
  await whileChanging(terminal, () =>
    runSteps(steps, { clock, signal, onStep: stepReporter(terminal) }),
  ).finally(() => terminal.signal.removeEventListener('abort', onAbort));
}

/** Says what an interruption has left of a change, before main() says no more than that. */
export async function whileChanging<T>(terminal: Terminal, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (terminal.signal.aborted && error instanceof BackupError) {
      const lines = [error.summary, ...error.faults.map(({ text }) => text)];
      terminal.stderr.write(`${lines.join('\n    ')}\n`);
      if (error.hint !== undefined) terminal.stderr.write(`  → ${error.hint}\n`);
    }
    throw error;
  }
}

/** The calls to come, in order. */
export function showCalls(steps: readonly Step[], terminal: Terminal): void {
  const width = Math.max(...steps.map((step) => step.call.length));
  steps.forEach((step, i) => {
    terminal.stdout.write(`  ${i + 1}. ${step.call.padEnd(width)}  ${step.title}\n`);
  });
}

/** Shows steps on stderr: on a terminal each line is written over until its step has ended. */
function stepReporter(terminal: Terminal): NonNullable<StepOptions['onStep']> {
  const { green, red, yellow } = paint(terminal.stderr, terminal.env);
  const isTerminal = terminal.stderr.isTTY === true;
  const over = (text: string) => terminal.stderr.write(isTerminal ? `${CLEAR_LINE}${text}` : text);
  return (title, state) => {
    if (state === 'begun' || state === 'undoing') {
      // A line that wraps could not be written over.
      if (isTerminal) over(`… ${title}`.slice(0, (terminal.stderr.columns || 80) - 1));
    } else if (state === 'done') over(`${green('✓')} ${title}\n`);
    else if (state === 'undone') over(`${yellow('↩')} ${title}\n`);
    else over(`${red('✗')} ${title}\n`);
  };
}
