// Watches that a broker stores what it is sent. Reports one that answers PING and sends no receipts: first so that the
// producer connects again, and then so that it fails.
import type { Clock } from '../../ports.ts';
import { startTimer } from './timer.ts';

const CHECK_EVERY_MS = 20_000;
/** So many checks in a row without a receipt. */
const MAX_SILENT_CHECKS = 2;
const MAX_CHECKS = 4;

/** What to watch, and what follows. */
export interface ReceiptWatchOptions {
  readonly clock: Clock;
  /** Whether a receipt is due. */
  readonly isWaiting: () => boolean;
  /** None came for a while; called once until one comes. */
  readonly onSilent: () => void;
  /** None came after `onSilent` either. */
  readonly onGivenUp: () => void;
}

/** A watch over one producer. */
export interface ReceiptWatch {
  /** A receipt came. */
  heard(): void;
  stop(): void;
}

/** Begins to watch. */
export function watchReceipts({ clock, isWaiting, onSilent, onGivenUp }: ReceiptWatchOptions): ReceiptWatch {
  let silentChecks = 0;
  let isStopped = false;
  let cancel = () => {};
  const check = () => {
    if (isStopped) return;
    if (isWaiting()) silentChecks++;
    if (silentChecks === MAX_SILENT_CHECKS) onSilent();
    if (silentChecks === MAX_CHECKS) onGivenUp();
    if (!isStopped) cancel = startTimer(clock, CHECK_EVERY_MS, check);
  };
  cancel = startTimer(clock, CHECK_EVERY_MS, check);
  return {
    heard() {
      silentChecks = 0;
    },
    stop() {
      isStopped = true;
      cancel();
    },
  };
}
