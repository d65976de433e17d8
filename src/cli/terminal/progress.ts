// Progress for a person: one line that changes at a terminal; only its last state where output is piped.
import { visibleText } from '../../lib/visible-text.ts';
import type { Terminal } from '../command.ts';
import { CLEAR_LINE } from './safe-output.ts';

export interface Progress {
  /** Shows `text` in place of what was shown. Shown at a terminal only, a few times a second. */
  update(text: string): void;
  /** Leaves `text` standing. */
  finish(text: string): void;
  /** Takes away what is shown, so that something else can be written. */
  clear(): void;
}

/** A line of progress on `stream`. */
export function startProgress(stream: Terminal['stdout']): Progress {
  let lastMs = 0;
  let isShown = false;
  const isTerminal = stream.isTTY === true;
  const clear = isTerminal ? CLEAR_LINE : '';
  return {
    update(text) {
      if (!isTerminal || Date.now() - lastMs < 100) return;
      lastMs = Date.now();
      isShown = true;
      stream.write(`${clear}${visibleText(text).slice(0, (stream.columns || 80) - 1)}`);
    },
    finish(text) {
      isShown = false;
      stream.write(`${clear}${text}\n`);
    },
    clear() {
      if (isShown) stream.write(clear);
      isShown = false;
    },
  };
}

/** How long the rest takes, where `share` (0 to 1) took so long: `2 min left`; nothing where that cannot be said yet. */
export function timeLeft(share: number, tookMs: number): string {
  if (share <= 0.01 || share >= 1 || tookMs < 2_000) return '';
  const seconds = (tookMs / share - tookMs) / 1_000;
  if (seconds < 90) return `${Math.ceil(seconds)} s left`;
  return seconds < 5_400 ? `${Math.round(seconds / 60)} min left` : `${(seconds / 3_600).toFixed(1)} h left`;
}

/** A bar of 20 characters, from 0 to 1. */
export function bar(share: number): string {
  const full = Math.round(Math.min(1, Math.max(0, share)) * 20);
  return `${'█'.repeat(full)}${'░'.repeat(20 - full)}`;
}
