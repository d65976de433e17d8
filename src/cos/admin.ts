// Bucket operations that only commands need: the bucket's settings for `check`, and small replaceable objects for the
// progress of `restore`. Runs do not use it.
import type COS from 'cos-nodejs-sdk-v5';
import type { CosConfig } from '../config.ts';
import { BackupError } from '../errors.ts';
import type { Body, CallOptions, ObjectAttributes } from '../ports.ts';
import type { CosClient } from './client.ts';
import { ODD_ANSWER } from './failure.ts';
import { objectHeaders } from './object-headers.ts';
import { streamOf } from './request-body.ts';

/** `never` had it, has it, or had it before. */
export type Versioning = 'never' | 'Enabled' | 'Suspended';

/** The parts of a lifecycle rule about unfinished uploads and the age of objects. */
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
  /** In an archive tier of INTELLIGENT_TIERING: it is restored permanently, and COS accepts no number of days. */
  readonly isTiered: boolean;
}

export interface CosAdmin {
  /** Whether the bucket can be reached, and its region as COS reports it. @throws BackupError `store` */
  headBucket(options?: CallOptions): Promise<{ region: string | undefined }>;
  getVersioning(options?: CallOptions): Promise<Versioning>;
  getLifecycle(options?: CallOptions): Promise<readonly LifecycleRule[]>;
  /** Creates or replaces a small object. Never for the archive itself. May be repeated. */
  putReplaceable(key: string, body: Body, attributes: ObjectAttributes, options?: CallOptions): Promise<void>;
  /** Requests a readable copy of an archived object. May be repeated. @throws BackupError `store` */
  thaw(key: string, request: ThawRequest, options?: CallOptions): Promise<void>;
  /** Removes an object; also where there is none. May be repeated. */
  remove(key: string, options?: CallOptions): Promise<void>;
}

/** The bucket's versioning state. @throws BackupError `store` */
export async function getVersioning(client: CosClient, options: CallOptions = {}): Promise<Versioning> {
  const { bucket, region } = client.location;
  const answer = await client.call(
    { doing: 'ask for the versioning', action: 'GetBucketVersioning' },
    (cos) => cos.getBucketVersioning({ Bucket: bucket, Region: region, Headers: {} }),
    options,
  );
  const status: string | undefined = answer.VersioningConfiguration?.Status;
  return status === 'Enabled' || status === 'Suspended' ? status : 'never';
}

/** The admin side of a client's bucket. */
export function createCosAdmin(client: CosClient, config: CosConfig): CosAdmin {
  const { bucket, region } = client.location;
  const at = (key: string) => ({ Bucket: bucket, Region: region, Key: key });
  return {
    async headBucket(options) {
      const answer = await client.call(
        { doing: 'reach', action: 'HeadBucket' },
        (cos) => cos.headBucket({ Bucket: bucket, Region: region, Headers: {} }),
        options,
      );
      const reported: unknown = answer.headers?.['x-cos-bucket-region'];
      return { region: typeof reported === 'string' ? reported : undefined };
    },
    getVersioning: (options) => getVersioning(client, options),
    async getLifecycle(options) {
      const answer = await client.call(
        { doing: 'ask for the lifecycle rules', action: 'GetBucketLifecycle' },
        (cos) => cos.getBucketLifecycle({ Bucket: bucket, Region: region, Headers: {} }),
        options,
      );
      return (answer.Rules as unknown as RawRule[]).map(lifecycleRule);
    },
    async putReplaceable(key, body, attributes, options) {
      const headers = objectHeaders(config, attributes);
      const sent = { ...at(key), ...streamOf(body), Headers: headers, ...{ SkipTask: true } };
      const answer = await client.call(
        { doing: 'store the object', action: 'PutObject', key },
        (cos) => cos.putObject(sent),
        options,
      );
      if (!answer.ETag) {
        throw new BackupError('store', `cannot store the object ${key}: the answer has no ETag`, {
          retryable: true,
          hint: ODD_ANSWER,
        });
      }
    },
    async thaw(key, { days, tier, isTiered }, options) {
      const act = { doing: 'ask for a readable copy of', action: 'PostObjectRestore', key };
      const request = { ...(isTiered ? {} : { Days: days }), CASJobParameters: { Tier: tier } };
      const ask = (cos: COS) =>
        cos.restoreObject({ ...at(key), RestoreRequest: request as COS.RestoreRequest, Headers: {} });
      try {
        await client.call(act, ask, options);
      } catch (error) {
        const isAsked = error instanceof BackupError && error.details['code'] === 'RestoreAlreadyInProgress';
        if (!isAsked) throw error;
      }
    },
    async remove(key, options) {
      await client.call(
        { doing: 'remove the object', action: 'DeleteObject', key },
        (cos) => cos.deleteObject({ ...at(key), Headers: {} }),
        options,
      );
    },
  };
}

interface RawRule {
  readonly ID?: string;
  readonly Status?: string;
  readonly Prefix?: string;
  readonly Filter?: { readonly Prefix?: string; readonly And?: { readonly Prefix?: string } };
  readonly AbortIncompleteMultipartUpload?: { readonly DaysAfterInitiation?: string };
  readonly Expiration?: { readonly Days?: string };
}

function lifecycleRule(raw: RawRule): LifecycleRule {
  const days = (text: string | undefined) => (text === undefined ? undefined : Number(text));
  return {
    id: raw.ID ?? '',
    isEnabled: raw.Status === 'Enabled',
    prefix: raw.Filter?.Prefix ?? raw.Filter?.And?.Prefix ?? raw.Prefix ?? '',
    abortUploadsAfterDays: days(raw.AbortIncompleteMultipartUpload?.DaysAfterInitiation),
    expireAfterDays: days(raw.Expiration?.Days),
  };
}
