// Lists the buckets of an account (GET Service), for a person to choose from. Runs do not use it.
import COS from 'cos-nodejs-sdk-v5';
import type { Credentials } from '../config.ts';
import { BackupError } from '../errors.ts';
import { redactor } from './client.ts';
import { readFailure } from './failure.ts';

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
    const { status, code, message } = readFailure(error, redactor({ credentials }));
    const said = [code, message].filter((text) => text !== '').join(': ');
    throw new BackupError('store', `cannot list the buckets: ${said}`, { hint: hintFor(status, code) });
  }
}

function hintFor(status: number | undefined, code: string): string {
  if (status === undefined)
    return 'COS is not reached from here: check network and proxies, or name the bucket.';
  if (/^(?:SignatureDoesNotMatch|Invalid|Expired)/.test(code))
    return 'COS does not know these API keys: check them.';
  if (code === 'RequestTimeTooSkewed') return 'The clock of this machine is wrong: set it.';
  if (status === 403) return 'Grant these API keys name/cos:GetService, or name the bucket.';
  return 'Try again, or name the bucket.';
}
