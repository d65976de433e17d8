// The requests of one connection that wait for their answers, each for a bounded time.
import { BackupError } from '../../errors.ts';
import { OUTAGE_HINT } from '../../lib/outage.ts';
import type { Clock } from '../../ports.ts';
import type { Integer } from './protocol/codec.ts';
import type { Command, CommandFields } from './protocol/frame.ts';
import { serverError } from './protocol/server-error.ts';
import { startTimer } from './timer.ts';

interface Pending {
  readonly what: string;
  readonly consumerId: Integer | undefined;
  readonly resolve: (command: Command) => void;
  readonly reject: (error: BackupError) => void;
  readonly cancelTimer: () => void;
}

/** Who asks, what for and of whom, for errors, and how long the answer may take. */
export interface Question {
  readonly what: string;
  readonly of: string;
  readonly consumerId: Integer | undefined;
  readonly timeoutMs: number;
}

/** The requests without an answer, by their ids. */
export class PendingRequests {
  readonly #clock: Clock;
  readonly #pending = new Map<Integer, Pending>();
  #nextId = 1;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Sends a request by its new id and waits. @throws BackupError: refused, too late, or ended by `fail` */
  ask(question: Question, send: (requestId: number) => void): Promise<Command> {
    const { what, of, consumerId, timeoutMs } = question;
    return new Promise((resolve, reject) => {
      const requestId = this.#nextId++;
      const cancelTimer = startTimer(this.#clock, timeoutMs, () => {
        this.#pending.delete(requestId);
        reject(unanswered(what, `${of} did not answer within ${timeoutMs} ms`));
      });
      this.#pending.set(requestId, { what, consumerId, resolve, reject, cancelTimer });
      send(requestId);
    });
  }

  /** An answer has come; one that nobody waits for is dropped. */
  answer(command: Command): void {
    const { requestId, error, message } = command.fields as CommandFields<'error'>;
    const request = this.#take(requestId ?? -1);
    if (command.name === 'error' || (command.name === 'ackResponse' && error !== undefined)) {
      request?.reject(serverError(request.what, error, message));
    } else request?.resolve(command);
  }

  /** No answers come any more: to any request, or to those of one consumer. */
  fail(reason: string, consumerId?: Integer, cause?: unknown): void {
    for (const [requestId, request] of [...this.#pending]) {
      if (consumerId !== undefined && request.consumerId !== consumerId) continue;
      this.#take(requestId)?.reject(unanswered(request.what, reason, cause));
    }
  }

  #take(requestId: Integer): Pending | undefined {
    const request = this.#pending.get(requestId);
    this.#pending.delete(requestId);
    request?.cancelTimer();
    return request;
  }
}

function unanswered(what: string, reason: string, cause?: unknown): BackupError {
  return new BackupError('source', `${what}: ${reason}`, {
    retryable: true,
    outcomeUnknown: true,
    hint: OUTAGE_HINT,
    cause,
  });
}
