// The buckets that an account has, and whether that of a rule is there: asked with a person's own keys.
import type { Credentials, RuleConfig } from '../config.ts';
import { createCosAdmin } from '../cos/admin.ts';
import { listBuckets } from '../cos/buckets.ts';
import { createCosClient } from '../cos/client.ts';
import { BackupError, messageOf } from '../errors.ts';
import type { Logger } from '../ports.ts';
import type { Io } from './command.ts';

/** The account's buckets in the region; none where these keys may not list them, so that a name is asked for. */
export async function bucketsOf(
  credentials: Credentials,
  region: string,
  io: Io,
): Promise<readonly string[]> {
  try {
    const endpoint = io.env['TENCENTCLOUD_COS_ENDPOINT'] || undefined;
    const buckets = await listBuckets({ credentials, region, endpoint });
    return buckets.filter((one) => one.region === region).map((one) => one.name);
  } catch (error) {
    if (error instanceof BackupError) return [];
    throw error;
  }
}

const silent: Logger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

/**
 * A warning where these keys may not look, or COS does not answer: the run role may still be right.
 * @throws BackupError `config` where the bucket does not exist, or is in another region
 */
export async function checkBucket(
  { cos }: RuleConfig,
  credentials: Credentials,
  io: Io,
): Promise<string | undefined> {
  const endpoint = io.env['TENCENTCLOUD_COS_ENDPOINT'] || cos.endpoint;
  const config = { ...cos, credentials, endpoint };
  const client = createCosClient(config, { logger: silent, timeoutMs: 10_000 });
  try {
    const { region } = await createCosAdmin(client, config).headBucket({ signal: io.signal });
    if (region === undefined || region === cos.region) return undefined;
    throw missing(`--bucket ${cos.bucket}: it is in ${region}, not in ${cos.region}`);
  } catch (error) {
    if (io.signal.aborted || !(error instanceof BackupError) || error.code === 'config') throw error;
    if (error.details['status'] === 404) {
      throw missing(`--bucket ${cos.bucket}: there is no such bucket in ${cos.region}`);
    }
    return `the bucket ${cos.bucket} could not be looked at: ${messageOf(error)}`;
  } finally {
    client.close();
  }
}

function missing(message: string): BackupError {
  return new BackupError('config', message, {
    hint: 'Create the bucket in the region of the cluster, or name another. Nothing was changed.',
  });
}
