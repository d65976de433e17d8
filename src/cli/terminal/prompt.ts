// Questions on a terminal: a line of text, one of a list, yes or no. Ctrl-C and a closed input end the command.
import { createInterface } from 'node:readline';
import type { Terminal } from '../command.ts';
import { UsageError } from '../usage-error.ts';
import { paint } from './paint.ts';

export interface Choice<T> {
  readonly label: string;
  readonly value: T;
}

type Check = (text: string) => string | undefined | Promise<string | undefined>;

export interface Prompt {
  /** A line; empty means `fallback` where there is one. `check` answers what is wrong with it. */
  ask(question: string, options?: { fallback?: string; check?: Check }): Promise<string>;
  /** One of the choices, by its number or a part of its label; the only one is taken without asking. */
  pick<T>(question: string, choices: readonly Choice<T>[]): Promise<T>;
  confirm(question: string): Promise<boolean>;
  close(): void;
}

/** Reads from stdin and writes to stderr. Close it, or the process does not end. */
export function openPrompt(terminal: Terminal): Prompt {
  const { bold, dim } = paint(terminal.stderr, terminal.env);
  const lines = createInterface({ input: terminal.stdin, terminal: false });
  const iterator = lines[Symbol.asyncIterator]();
  const interrupted = new Promise<never>((_, reject) => {
    const stop = () => reject(terminal.signal.reason as Error);
    if (terminal.signal.aborted) stop();
    else terminal.signal.addEventListener('abort', stop, { once: true });
  });
  interrupted.catch(() => undefined);

  async function readLine(question: string): Promise<string> {
    terminal.stderr.write(question);
    const next = await Promise.race([iterator.next(), interrupted]);
    if (next.done === true) throw new UsageError('the input ended before the question was answered');
    return next.value.trim();
  }

  const ask: Prompt['ask'] = async (question, { fallback, check } = {}) => {
    for (;;) {
      const shown = fallback === undefined ? '' : dim(` [${fallback || 'none'}]`);
      const text = (await readLine(`${bold(question)}${shown}: `)) || fallback;
      const fault = text === undefined ? 'an answer is needed' : await check?.(text);
      if (fault === undefined) return text as string;
      terminal.stderr.write(`  ${fault}\n`);
    }
  };

  return {
    ask,
    pick: async (question, choices) => {
      const [only] = choices;
      if (only === undefined) throw new UsageError(`${question}: there is nothing to choose from`);
      if (choices.length === 1) {
        terminal.stderr.write(`${bold(question)}: ${only.label}\n`);
        return only.value;
      }
      terminal.stderr.write(`${bold(question)}\n`);
      choices.forEach((choice, i) => {
        terminal.stderr.write(`  ${i + 1}) ${choice.label}\n`);
      });
      const text = await ask(`1–${choices.length}, or a part of the name`, {
        check: (given) => {
          const found = chosen(choices, given);
          if (found.length === 1) return undefined;
          return found.length === 0
            ? `none of these; a number from 1 to ${choices.length}`
            : `several of these: ${found.map((one) => one.label).join(', ')}`;
        },
      });
      return (chosen(choices, text)[0] ?? only).value;
    },
    confirm: async (question) => /^y(es)?$/i.test(await ask(`${question} (y/n)`, { fallback: 'n' })),
    close: () => lines.close(),
  };
}

/** The choices that an answer may mean: by number, by the whole label, or by a part of it. */
function chosen<T>(choices: readonly Choice<T>[], text: string): readonly Choice<T>[] {
  const byNumber = /^\d+$/.test(text) ? choices[Number(text) - 1] : undefined;
  if (byNumber !== undefined) return [byNumber];
  const whole = choices.filter((one) => one.label === text);
  return whole.length > 0 ? whole : choices.filter((one) => one.label.includes(text));
}
