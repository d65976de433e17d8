// Buckets that ever had versioning ignore x-cos-forbid-overwrite, silently. There, and where the role may not ask,
// each creation looks for the key first. A bucket is asked once; what failed to be asked is asked again.
import { BackupError } from '../errors.ts';
import { untilAborted } from '../lib/until-aborted.ts';
import type { CallOptions, Logger, ObjectHead } from '../ports.ts';
import { getVersioning } from './admin.ts';
import type { CosClient } from './client.ts';

export interface OverwriteGuard {
  /** Whether a creation must not go on because the key is taken; false also where COS itself will refuse. */
  exists(key: string, options: CallOptions): Promise<boolean>;
  /** Asks before the first creation, which asks again where that fails. */
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
      // Wrong credentials are reported as such; what comes next would only say "forbidden".
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

  /** Shared by creations side by side, so no caller's abort ends the question itself: it is bounded in time. */
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
