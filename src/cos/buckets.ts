// The buckets of an account (GET Service), for a person to pick from. A run of the function has no use for it.
import type { Credentials } from '../config.ts';
import { BackupError, messageOf } from '../errors.ts';
import type { Logger } from '../ports.ts';
import { createCosClient } from './client.ts';
import { elementsOf, textAt } from './xml.ts';

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
const SILENT: Logger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

/** Every bucket that these keys may see in the region, by name. One request. @throws BackupError `store` */
export async function listBuckets({ credentials, region, endpoint }: BucketsQuery): Promise<AccountBucket[]> {
  const config = { bucket: '', region, endpoint, credentials, prefix: '', storageClass: '', sse: undefined };
  const host = `cos.${region}.myqcloud.com`;
  const client = createCosClient(config, { logger: SILENT, timeoutMs: TIMEOUT_MS, host });
  try {
    const act = { doing: 'list the buckets', action: 'GetService' };
    const { xml } = await client.call(act, { method: 'GET' });
    return elementsOf(elementsOf(xml, 'Buckets')[0], 'Bucket')
      .map((one) => ({ name: textAt(one, 'Name') ?? '', region: textAt(one, 'Location') ?? '' }))
      .sort((a, b) => a.name.localeCompare(b.name));
  } catch (error) {
    if (!(error instanceof BackupError)) throw error;
    const { status, code = '' } = error.details;
    const reason = error.cause === undefined ? error.message : messageOf(error.cause);
    throw new BackupError('store', `cannot list the buckets: ${reason}`, {
      hint: hintFor(typeof status === 'number' ? status : undefined, String(code)),
    });
  } finally {
    client.close();
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
