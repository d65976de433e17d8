// A person at a terminal: answers each question as it appears, by its keys. A choice is made with the arrow keys, by a
// part of its label; in a long list, and for a text, the answer is typed.
import { S_RADIO_ACTIVE, S_RADIO_INACTIVE, S_STEP_ERROR } from '@clack/prompts';
import type { Terminal } from '../../src/cli/command.ts';

/** What the library writes as a question appears, and as it is answered. */
const APPEARED = '\u001b[?25l';
const ENTER = '\r';
const DOWN = '\u001b[B';

/** Keys besides answers. */
export const ESC = '\u001b';
export const CTRL_C = '\u0003';
/** Takes away what is typed already. */
export const CTRL_U = '\u0015';

/** Keys that are pressed as they are, whatever the question is. */
export const literally = (keys: string) => `${LITERAL}${keys}`;
const LITERAL = '\u0016';

/** Types `answers` into the terminal, one per question, and hangs up at the question after the last. */
export function typeAnswers(terminal: Terminal, answers: readonly string[]): void {
  const left = [...answers];
  const keyboard = terminal.stdin as NodeJS.ReadWriteStream;
  let screen = '';
  for (const stream of [terminal.stdin, terminal.stdout, terminal.stderr])
    Object.assign(stream, { isTTY: true });
  Object.assign(terminal.stdin, { setRawMode: () => undefined });
  terminal.stderr.on('data', (chunk: Buffer) => {
    screen += chunk.toString();
    const appeared = screen.lastIndexOf(APPEARED);
    const isAsked = appeared >= 0 && screen.length > appeared + APPEARED.length;
    // A fault is shown in the same question, which goes on.
    if (!isAsked && !screen.includes(S_STEP_ERROR)) return;
    const frame = isAsked ? screen.slice(appeared) : undefined;
    screen = '';
    const answer = left.shift();
    setImmediate(() => {
      const keys = answer === undefined ? undefined : keysOf(answer, frame);
      if (keys === undefined) keyboard.end();
      else keyboard.write(keys);
    });
  });
}

function keysOf(answer: string, frame: string | undefined): string | undefined {
  if (answer === ESC || answer === CTRL_C) return answer;
  if (answer.startsWith(LITERAL)) return answer.slice(LITERAL.length);
  // Behind a fault the text that was typed is still there.
  if (frame === undefined) return `${CTRL_U}${answer}${ENTER}`;
  const options = frame
    .split('\n')
    .filter((line) => line.includes(S_RADIO_ACTIVE) || line.includes(S_RADIO_INACTIVE));
  if (options.length === 0 || frame.includes('type to search')) return `${answer}${ENTER}`;
  const [at, to] = [
    options.findIndex((one) => one.includes(S_RADIO_ACTIVE)),
    options.findIndex((one) => one.includes(answer)),
  ];
  // The command fails then, and names the question.
  if (to < 0) return undefined;
  return DOWN.repeat((to - at + options.length) % options.length) + ENTER;
}
