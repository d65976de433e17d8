// Watches that a broker stores what it is sent: one that answers PING and gives no receipts is left, and at last given up.
import type { Clock } from '../../ports.ts';
import { startTimer } from './timer.ts';

const LOOK_EVERY_MS = 20_000;
/** So many looks in a row without a receipt. */
const SILENT = 2;
const GIVEN_UP = 4;

export interface ReceiptWatchOptions {
  readonly clock: Clock;
  /** Whether a receipt has to come. */
  readonly isWaiting: () => boolean;
  /** None came for a while; called once until one comes. */
  readonly onSilent: () => void;
  /** None came in spite of `onSilent`. */
  readonly onGivenUp: () => void;
}

export interface ReceiptWatch {
  /** A receipt came. */
  heard(): void;
  stop(): void;
}

/** Begins to watch. */
export function watchReceipts({ clock, isWaiting, onSilent, onGivenUp }: ReceiptWatchOptions): ReceiptWatch {
  let silentProbes = 0;
  let isStopped = false;
  let cancel = () => {};
  const look = () => {
    if (isStopped) return;
    if (isWaiting()) silentProbes++;
    if (silentProbes === SILENT) onSilent();
    if (silentProbes === GIVEN_UP) onGivenUp();
    if (!isStopped) cancel = startTimer(clock, LOOK_EVERY_MS, look);
  };
  cancel = startTimer(clock, LOOK_EVERY_MS, look);
  return {
    heard() {
      silentProbes = 0;
    },
    stop() {
      isStopped = true;
      cancel();
    },
  };
}
