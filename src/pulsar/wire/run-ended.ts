// The error for everybody who still waits for Pulsar when the run ends.
import { BackupError } from '../../errors.ts';

/** `away`: what kept the connection away, if it was. */
export function runEnded(away: BackupError | undefined): BackupError {
  return new BackupError(
    'source',
    `the run ended while it waited for Pulsar${away === undefined ? '' : `: ${away.message}`}`,
    {
      retryable: true,
      ...(away === undefined ? {} : { cause: away }),
      ...(away?.hint === undefined ? {} : { hint: away.hint }),
    },
  );
}
