// Buckets that ever had versioning silently ignore x-cos-forbid-overwrite. There, and if the role may not read the
// versioning state, each creation first checks the key. The state is requested once; a failed request is repeated.
import { BackupError } from '../errors.ts';
import { untilAborted } from '../lib/until-aborted.ts';
import type { CallOptions, Logger, ObjectHead } from '../ports.ts';
import { getVersioning } from './admin.ts';
import type { CosClient } from './client.ts';

export interface OverwriteGuard {
  /** Whether a creation has to stop because the key exists; false if COS itself refuses. */
  exists(key: string, options: CallOptions): Promise<boolean>;
  /** Requests the state before the first creation, which repeats a failed request. */
  expectCreations(): void;
}

/** A guard for one bucket. */
export function createOverwriteGuard(
  client: CosClient,
  logger: Logger,
  head: (key: string, options: CallOptions) => Promise<ObjectHead | undefined>,
): OverwriteGuard {
  const { bucket } = client.location;
  let answer: Promise<boolean> | undefined;

  async function ask(): Promise<boolean> {
    try {
      const versioning = await getVersioning(client);
      if (versioning === 'never') return false;
      logger.warn(
        { bucket, versioning },
        'versioning found: each object is looked for before it is created, since COS would replace it',
      );
      return true;
    } catch (error) {
      // Reports wrong credentials as such; the next call would only return "forbidden".
      if (!(error instanceof BackupError) || error.retryable) throw error;
      const { code, status } = error.details;
      if (code !== 'AccessDenied' && status !== 405 && status !== 501) throw error;
      logger.warn(
        { bucket, action: 'cos:GetBucketVersioning' },
        'versioning could not be asked for: each object is looked for before it is created',
      );
      return true;
    }
  }

  /** Parallel creations share it, so no caller's abort ends the request; it has a time limit. */
  function mustProbe(): Promise<boolean> {
    answer ??= ask().catch((error) => {
      answer = undefined;
      throw error;
    });
    return answer;
  }

  return {
    expectCreations: () => void mustProbe().catch(() => undefined),
    async exists(key, options) {
      if (!(await untilAborted(mustProbe(), options.signal, abortedBefore))) return false;
      return (await head(key, options)) !== undefined;
    },
  };
}

const abortedBefore = () =>
  new BackupError('store', 'the call was aborted before its request was sent', {
    retryable: true,
    hint: 'The run ended this call, mostly because its time was over. Nothing was stored.',
  });
