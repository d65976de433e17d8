// The buckets of an account (GET Service), for a person to pick from. A run of the function has no use for it.
import COS from 'cos-nodejs-sdk-v5';
import type { Credentials } from '../config.ts';
import { BackupError, messageOf } from '../errors.ts';

export interface AccountBucket {
  /** `name-appid` */
  readonly name: string;
  readonly region: string;
}

export interface BucketsQuery {
  readonly credentials: Credentials;
  /** The region that is asked. */
  readonly region: string;
  /** `http(s)://host:port` to send the request to instead. */
  readonly endpoint?: string | undefined;
}

const TIMEOUT_MS = 8_000;

/** Every bucket that these keys may see in the region, by name. One request. @throws BackupError `store` */
export async function listBuckets({ credentials, region, endpoint }: BucketsQuery): Promise<AccountBucket[]> {
  const origin = endpoint === undefined ? undefined : new URL(endpoint);
  const cos = new COS({
    SecretId: credentials.secretId,
    SecretKey: credentials.secretKey.reveal(),
    SecurityToken: credentials.sessionToken?.reveal() ?? '',
    Protocol: origin?.protocol === 'http:' ? 'http:' : 'https:',
    Ip: origin?.host ?? '',
    Timeout: TIMEOUT_MS,
    AutoSwitchHost: false,
  });
  try {
    const answer = await cos.getService({ Region: region });
    return (answer.Buckets ?? [])
      .map(({ Name, Location }) => ({ name: Name, region: Location }))
      .sort((a, b) => a.name.localeCompare(b.name));
  } catch (error) {
    throw new BackupError('store', `cannot list the buckets: ${messageOf(error)}`, {
      hint: 'Grant these API keys name/cos:GetService, or name the bucket.',
    });
  }
}
