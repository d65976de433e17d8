// Connections that are lost again and again before anything got further, each soon after it was there: the broker
// cannot take, or bring, what comes next. Without this, every new connection would begin the same at once.
import { BackupError } from '../../errors.ts';

/** So many in a row; with the pauses between them, about two minutes. */
const MAX_LOSSES = 30;
const FIRST_PAUSE_MS = 100;
const MAX_PAUSE_MS = 5_000;

/** Counts the losses in a row of one consumer or producer. */
export class ReconnectBackoff {
  #count = 0;

  /** Something came that had not come before. */
  gotFurther(): void {
    this.#count = 0;
  }

  /** A connection was lost. How long to wait before the next, in milliseconds; `undefined`: enough of them. */
  another(): number | undefined {
    this.#count++;
    if (this.#count > MAX_LOSSES) return undefined;
    return this.#count === 1 ? 0 : Math.min(MAX_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (this.#count - 2));
  }
}

/** There were enough of them. `cause`: the last one. */
export function noFurther(doing: string, cause: BackupError): BackupError {
  return new BackupError(
    'source',
    `${doing} gets no further, the connection is lost each time: ${cause.message}`,
    {
      retryable: true,
      hint: 'Look at the log of the brokers, and at what is between them and here. The next run goes on from what is stored.',
      cause,
    },
  );
}
