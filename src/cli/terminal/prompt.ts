// Questions at a terminal, over @clack/prompts: a line of text, one of a list (arrow keys, or type to search), a choice.
// Esc goes back to the question before; Ctrl-C and an input that ends stop the command.
import type { Readable, Writable } from 'node:stream';
import { visibleLines, visibleText } from '../../lib/visible-text.ts';
import type { Terminal } from '../command.ts';
import { InputEndedError, InterruptedError, UsageError } from '../usage-error.ts';
import { paint } from './paint.ts';
import { bareOutput } from './safe-output.ts';

export interface Choice<T> {
  readonly label: string;
  readonly value: T;
}

/** What is wrong with an answer; nothing where it is right. */
type Check = (text: string) => string | undefined | Promise<string | undefined>;

/** The answer of somebody who pressed Esc: to the question before, if there is one. */
export const BACK = Symbol('back');

export interface Prompt {
  /** A line; an empty one means `fallback` where there is one. `initial` can be edited. */
  ask(
    question: string,
    options?: { fallback?: string; initial?: string | undefined; check?: Check },
  ): Promise<string | typeof BACK>;
  /** One of the choices. @throws UsageError where there are none */
  pick<T>(question: string, choices: readonly Choice<T>[], initial?: T): Promise<T | typeof BACK>;
  /** Shows an answer that needed no question. */
  note(question: string, answer: string): void;
}

/** So many choices are searched by typing; fewer are seen at one look. */
const MIN_SEARCHED = 8;

/** Reads from stdin and writes to stderr, so that stdout stays for the answer. The library loads with the first prompt. */
export async function openPrompt(terminal: Terminal): Promise<Prompt> {
  const { autocomplete, isCancel, select, text } = await import('@clack/prompts');
  const input = terminal.stdin as Readable;
  // A terminal that reports no size, as some that programs make, would show one choice, a character a line.
  const stderr = bareOutput(terminal.stderr) as Writable;
  const output: Writable = terminal.stderr.columns
    ? stderr
    : Object.create(stderr, { columns: { value: 80 }, rows: { value: 24 } });
  const { bold } = paint(terminal.stderr, terminal.env);

  /** One question. The library answers Esc, Ctrl-C and its signal with the same symbol: here they are distinguished. */
  async function question<T>(
    show: (io: {
      input: Readable;
      output: Writable;
      signal: AbortSignal;
      withGuide: false;
    }) => Promise<T | symbol>,
  ): Promise<T | typeof BACK> {
    terminal.signal.throwIfAborted();
    let isEnded = input.readableEnded;
    let isCtrlC = false;
    const ended = new AbortController();
    const onEnd = () => {
      isEnded = true;
      ended.abort();
    };
    const onKey = (_: unknown, key?: { ctrl?: boolean; name?: string }) => {
      isCtrlC = key?.ctrl === true && key.name === 'c';
      // The library knows Ctrl-D for nothing, and would wait for ever.
      if (key?.ctrl === true && key.name === 'd') onEnd();
    };
    if (isEnded) ended.abort();
    input.once('end', onEnd).on('keypress', onKey);
    try {
      const signal = AbortSignal.any([terminal.signal, ended.signal]);
      const answer = await show({ input, output, signal, withGuide: false });
      if (!isCancel(answer)) return answer as T;
    } finally {
      input.off('end', onEnd).off('keypress', onKey);
    }
    terminal.signal.throwIfAborted();
    if (isEnded) throw new InputEndedError();
    if (isCtrlC) throw new InterruptedError();
    return BACK;
  }

  return {
    ask: (message, { fallback, initial, check } = {}) =>
      question((io) =>
        text({
          ...io,
          message: visibleLines(message),
          ...(fallback !== undefined && {
            defaultValue: fallback,
            placeholder: visibleText(fallback) || 'none',
          }),
          ...(initial !== undefined && { initialValue: initial }),
          validate: standardSchema(async (given) => {
            const value = String(given ?? '').trim() || fallback;
            return value === undefined ? 'an answer is needed' : check?.(value);
          }),
        }),
      ).then((answer) => (typeof answer === 'string' ? answer.trim() : BACK)),

    pick: <T>(message: string, choices: readonly Choice<T>[], initial?: T) => {
      if (choices.length === 0) throw new UsageError(`${message}: there is nothing to choose from`);
      // The library compares values by identity: indexes serve for any kind of value.
      const options = choices.map(({ label }, value) => ({ label: visibleText(label), value }));
      const at = choices.findIndex((one) => one.value === initial);
      const chosen = { message: visibleLines(message), options, ...(at >= 0 && { initialValue: at }) };
      const ask = (io: Parameters<Parameters<typeof question<number>>[0]>[0]) =>
        choices.length < MIN_SEARCHED
          ? select({ ...io, ...chosen })
          : autocomplete({
              ...io,
              ...chosen,
              maxItems: 10,
              placeholder: 'type to search',
              validate: (found) => (found === undefined ? 'none of these' : undefined),
            });
      return question<number>(ask).then((index) =>
        index === BACK ? BACK : (choices[index as number] as Choice<T>).value,
      );
    },

    note: (message, answer) => void terminal.stderr.write(`${bold(message)}: ${answer}\n`),
  };
}

/** A check that may ask elsewhere, in the only shape in which the library waits for one (standardschema.dev). */
function standardSchema(check: (value: unknown) => Promise<string | undefined>) {
  return {
    '~standard': {
      version: 1 as const,
      vendor: 'tdmq-backup',
      validate: async (value: unknown) => {
        const message = await check(value);
        return message === undefined ? { value: value as string } : { issues: [{ message }] };
      },
    },
  };
}
