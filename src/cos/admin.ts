// What commands ask of a bucket beyond the archive: its settings for `check`, and small objects that may be replaced
// or removed for `restore`'s progress. A run of the function has no use for it.
import type { CosConfig } from '../config.ts';
import { BackupError } from '../errors.ts';
import type { Body, CallOptions, ObjectAttributes } from '../ports.ts';
import type { CosClient } from './client.ts';
import { ODD_ANSWER, unlessCode } from './failure.ts';
import { objectHeaders } from './object-headers.ts';
import { xmlBody } from './request-body.ts';
import { elementsOf, textAt, type Xml } from './xml.ts';

/** `never` had it, has it, or had it once. */
export type Versioning = 'never' | 'Enabled' | 'Suspended';

/** A lifecycle rule, as far as unfinished uploads and the age of objects are concerned. */
export interface LifecycleRule {
  readonly id: string;
  readonly isEnabled: boolean;
  readonly prefix: string;
  readonly abortUploadsAfterDays: number | undefined;
  readonly expireAfterDays: number | undefined;
}

/** For how many days, and how fast (API page 436/12633). */
export interface ThawRequest {
  readonly days: number;
  readonly tier: 'Expedited' | 'Standard' | 'Bulk';
  /** In an archive tier of INTELLIGENT_TIERING: it comes back for good, and COS takes no days. */
  readonly isTiered: boolean;
}

export interface CosAdmin {
  /** Whether the bucket can be reached, and its region as COS reports it. @throws BackupError `store` */
  headBucket(options?: CallOptions): Promise<{ region: string | undefined }>;
  getVersioning(options?: CallOptions): Promise<Versioning>;
  getLifecycle(options?: CallOptions): Promise<readonly LifecycleRule[]>;
  /** Creates or replaces a small object. Never for the archive itself. May be repeated. */
  putReplaceable(key: string, body: Body, attributes: ObjectAttributes, options?: CallOptions): Promise<void>;
  /** Asks for a copy of an archived object that can be read. May be repeated. @throws BackupError `store` */
  thaw(key: string, request: ThawRequest, options?: CallOptions): Promise<void>;
  /** Removes an object; also where there is none. May be repeated. */
  remove(key: string, options?: CallOptions): Promise<void>;
}

/** The bucket's versioning state. @throws BackupError `store` */
export async function getVersioning(client: CosClient, options: CallOptions = {}): Promise<Versioning> {
  const { xml } = await client.call(
    { doing: 'ask for the versioning', action: 'GetBucketVersioning' },
    { method: 'GET', query: { versioning: '' } },
    options,
  );
  const status = textAt(xml, 'Status');
  return status === 'Enabled' || status === 'Suspended' ? status : 'never';
}

/** The admin side of a client's bucket. */
export function createCosAdmin(client: CosClient, config: CosConfig): CosAdmin {
  return {
    async headBucket(options) {
      const answer = await client.call({ doing: 'reach', action: 'HeadBucket' }, { method: 'HEAD' }, options);
      const reported = answer.headers['x-cos-bucket-region'];
      return { region: typeof reported === 'string' ? reported : undefined };
    },
    getVersioning: (options) => getVersioning(client, options),
    async getLifecycle(options) {
      const act = { doing: 'ask for the lifecycle rules', action: 'GetBucketLifecycle' };
      const request = { method: 'GET', query: { lifecycle: '' } } as const;
      const answer = await unlessCode('NoSuchLifecycleConfiguration', client.call(act, request, options));
      return elementsOf(answer?.xml, 'Rule').map(lifecycleRule);
    },
    async putReplaceable(key, body, attributes, options) {
      const answer = await client.call(
        { doing: 'store the object', action: 'PutObject', key },
        { method: 'PUT', key, headers: objectHeaders(config, attributes), body },
        options,
      );
      if (!answer.headers.etag) {
        throw new BackupError('store', `cannot store the object ${key}: the answer has no ETag`, {
          retryable: true,
          hint: ODD_ANSWER,
        });
      }
    },
    async thaw(key, { days, tier, isTiered }, options) {
      const act = { doing: 'ask for a readable copy of', action: 'PostObjectRestore', key };
      const RestoreRequest = {
        ...(isTiered ? {} : { Days: String(days) }),
        CASJobParameters: { Tier: tier },
      };
      const request = {
        method: 'POST',
        key,
        query: { restore: '' },
        ...xmlBody({ RestoreRequest }),
      } as const;
      await unlessCode('RestoreAlreadyInProgress', client.call(act, request, options));
    },
    async remove(key, options) {
      await client.call(
        { doing: 'remove the object', action: 'DeleteObject', key },
        { method: 'DELETE', key },
        options,
      );
    },
  };
}

function lifecycleRule(rule: Xml): LifecycleRule {
  const days = (...path: string[]) => {
    const text = textAt(rule, ...path);
    return text === undefined ? undefined : Number(text);
  };
  return {
    id: textAt(rule, 'ID') ?? '',
    isEnabled: textAt(rule, 'Status') === 'Enabled',
    prefix:
      textAt(rule, 'Filter', 'Prefix') ??
      textAt(rule, 'Filter', 'And', 'Prefix') ??
      textAt(rule, 'Prefix') ??
      '',
    abortUploadsAfterDays: days('AbortIncompleteMultipartUpload', 'DaysAfterInitiation'),
    expireAfterDays: days('Expiration', 'Days'),
  };
}
