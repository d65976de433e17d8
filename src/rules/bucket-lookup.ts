// A rule's bucket, looked at with a person's own keys: whether it is there, and which there are.
import type { Credentials, RuleSettings } from '../config.ts';
import { createCosAdmin } from '../cos/admin.ts';
import { listBuckets } from '../cos/buckets.ts';
import { createCosClient } from '../cos/client.ts';
import { BackupError, messageOf } from '../errors.ts';
import type { Logger } from '../ports.ts';

export interface BucketAccess {
  readonly credentials: Credentials;
  /** `http(s)://host:port` to send requests to instead of COS's own domains. */
  readonly endpoint: string | undefined;
  readonly signal: AbortSignal;
}

/** The account's buckets in the region; none where these keys may not list them, so that a name is asked for. */
export async function bucketsOf(region: string, access: BucketAccess): Promise<readonly string[]> {
  const { credentials, endpoint } = access;
  try {
    const buckets = await listBuckets({ credentials, region, endpoint });
    return buckets.filter((one) => one.region === region).map((one) => one.name);
  } catch (error) {
    if (error instanceof BackupError) return [];
    throw error;
  }
}

const TIMEOUT_MS = 10_000;
const silent: Logger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

/** How a bucket is; `unknown` where these keys may not look, or COS does not answer. */
export type BucketView =
  | { readonly kind: 'there' }
  | { readonly kind: 'missing'; readonly reason: string }
  | { readonly kind: 'unknown'; readonly reason: string };

/** Looks whether the bucket of a rule is in its region. Throws only when it was interrupted. */
export async function lookAtBucket(cos: RuleSettings['cos'], access: BucketAccess): Promise<BucketView> {
  const { credentials, signal } = access;
  const config = { ...cos, credentials, endpoint: access.endpoint ?? cos.endpoint };
  const client = createCosClient(config, { logger: silent, timeoutMs: TIMEOUT_MS });
  try {
    const { region } = await createCosAdmin(client, config).headBucket({ signal });
    if (region === undefined || region === cos.region) return { kind: 'there' };
    return { kind: 'missing', reason: `the bucket ${cos.bucket} is in ${region}, not in ${cos.region}` };
  } catch (error) {
    if (signal.aborted || !(error instanceof BackupError)) throw error;
    return error.details['status'] === 404
      ? { kind: 'missing', reason: `there is no bucket ${cos.bucket} in ${cos.region}` }
      : {
          kind: 'unknown',
          reason: `the bucket ${cos.bucket} could not be checked: ${messageOf(error)}`,
        };
  } finally {
    client.close();
  }
}

/**
 * Refuses a bucket that is not there; answers a warning where it could not be looked at, since the run role may still
 * be right. @throws BackupError `config`
 */
export async function requireBucket(
  cos: RuleSettings['cos'],
  access: BucketAccess,
): Promise<string | undefined> {
  const view = await lookAtBucket(cos, access);
  if (view.kind !== 'missing') return view.kind === 'unknown' ? view.reason : undefined;
  throw new BackupError('config', `--bucket: ${view.reason}`, {
    hint: 'Create the bucket in the region of the cluster, or name another. Nothing was changed.',
  });
}
