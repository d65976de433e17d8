// The one error class of the system. It contains what a person needs at 3 a.m.: what failed, where, and what to do.

/** Whose fault it is: settings, Pulsar, COS, unreadable data, or the control plane of rules. */
export type ErrorCode = 'config' | 'source' | 'store' | 'corrupt' | 'rule';

/** One of several things that are wrong. */
export interface Fault {
  /** The variable, field or flag with the fault; after a failed change, the step that remains. */
  readonly setting: string;
  /** A sentence: what is wrong, what was expected, and what to do. */
  readonly text: string;
}

export interface BackupErrorOptions {
  /** Trying again may help. */
  readonly retryable?: boolean;
  /** What the person should do, as one or two sentences. */
  readonly hint?: string;
  readonly cause?: unknown;
  /** The other side may have executed the request although no response arrived. */
  readonly outcomeUnknown?: boolean;
  /** The service's own words: error code, HTTP status, request id. Never a secret. */
  readonly details?: Readonly<Record<string, string | number>>;
  /** What is wrong, one by one; the message ends with them. */
  readonly faults?: readonly Fault[];
}

/** A failure with a reason a person can act on. Messages never hold secrets. */
export class BackupError extends Error {
  override readonly name = 'BackupError';
  readonly code: ErrorCode;
  readonly retryable: boolean;
  readonly hint: string | undefined;
  readonly outcomeUnknown: boolean;
  readonly details: Readonly<Record<string, string | number>>;
  readonly faults: readonly Fault[];
  /** The message without the faults. */
  readonly summary: string;

  constructor(code: ErrorCode, summary: string, options: BackupErrorOptions = {}) {
    const faults = options.faults ?? [];
    super(
      faults.length === 0 ? summary : `${summary}: ${faults.map(({ text }) => text).join(' | ')}`,
      options.cause === undefined ? undefined : { cause: options.cause },
    );
    this.summary = summary;
    this.faults = faults;
    this.code = code;
    this.retryable = options.retryable ?? false;
    this.hint = options.hint;
    this.outcomeUnknown = options.outcomeUnknown ?? false;
    this.details = options.details ?? {};
  }
}

/** Of several failures, the one to report: permanent ones before temporary ones. */
export function gravest(failures: readonly unknown[]): unknown {
  return byGravity(failures, (failure) => failure)[0];
}

/** The items by the gravity of their failures; equal ones keep their order. */
export function byGravity<T>(items: readonly T[], failureOf: (item: T) => unknown): T[] {
  return [...items].sort((a, b) => gravity(failureOf(b)) - gravity(failureOf(a)));
}

function gravity(failure: unknown): number {
  if (!(failure instanceof BackupError)) return 1;
  if (failure.code === 'config' || failure.code === 'corrupt') return 2;
  return failure.retryable ? 0 : 1;
}

/** The same error with another hint, from a caller that knows more about the situation. */
export function withHint(error: BackupError, hint: string): BackupError {
  const { code, summary, retryable, outcomeUnknown, details, faults, cause = error } = error;
  return new BackupError(code, summary, { retryable, outcomeUnknown, details, faults, cause, hint });
}

/** The message of any thrown value, including plain objects, which the COS SDK throws. */
export function messageOf(thrown: unknown): string {
  if (thrown instanceof Error) return thrown.message;
  if (typeof thrown === 'object' && thrown !== null) {
    const { message, error } = thrown as { message?: unknown; error?: unknown };
    if (typeof message === 'string') return message;
    if (error !== undefined && error !== thrown) return messageOf(error);
  }
  return String(thrown);
}
