// Progress for a person: one line that changes at a terminal; only its last state where output is piped.
import type { Io } from './command.ts';

export interface Progress {
  /** Shows `text` in place of what was shown. Shown at a terminal only, a few times a second. */
  update(text: string): void;
  /** Leaves `text` standing. */
  finish(text: string): void;
}

/** A line of progress on `stream`. */
export function startProgress(stream: Io['stdout']): Progress {
  let lastMs = 0;
  const isTerminal = stream.isTTY === true;
  const clear = isTerminal ? '\r\u001b[2K' : '';
  return {
    update(text) {
      if (!isTerminal || Date.now() - lastMs < 100) return;
      lastMs = Date.now();
      stream.write(`${clear}${text.slice(0, (stream.columns ?? 80) - 1)}`);
    },
    finish(text) {
      stream.write(`${clear}${text}\n`);
    },
  };
}

/** A bar of 20 characters, from 0 to 1. */
export function bar(share: number): string {
  const full = Math.round(Math.min(1, Math.max(0, share)) * 20);
  return `${'█'.repeat(full)}${'░'.repeat(20 - full)}`;
}
