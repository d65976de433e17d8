// A wrong command line: reported in one line, exit code 2.

/** Thrown by a command for arguments it cannot use; parseArgs has its own errors for the rest. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** A person pressed Ctrl-C at a question: exit code 130. */
export class InterruptedError extends Error {
  override readonly name = 'InterruptedError';
}

/** Nobody is left to answer a question. */
export class InputEndedError extends UsageError {
  constructor() {
    super('the input ended before the question was answered');
  }
}
