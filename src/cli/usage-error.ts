// A wrong command line: told in one line, exit code 2.

/** Thrown by a command for arguments it cannot use; parseArgs has its own errors for the rest. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}
