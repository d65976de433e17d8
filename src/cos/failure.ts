// Converts a failed call to COS into a BackupError with a hint. The SDK throws Errors, plain objects and strings;
// only code, message, status and request id are kept, without secrets.

import { BackupError, messageOf } from '../errors.ts';
import type { RunsFrom } from '../read-settings.ts';
import { REGIONS } from '../settings.ts';
import { deniedHint, hasReason } from './denied.ts';

/** What a call does, in the terms of messages and of access policies. */
export interface StoreCall {
  /** Completes "cannot …": `store the object`. */
  readonly doing: string;
  /** As access policies name it: `PutObject`. */
  readonly action: string;
  readonly key?: string;
  /** The call makes an object visible: without a response, the outcome is unknown. */
  readonly commits?: boolean;
}

/** The target of calls, for messages. */
export interface BucketLocation {
  readonly bucket: string;
  readonly region: string;
  readonly endpoint: string | undefined;
  /** The reader of the messages; a function by default. */
  readonly runsFrom?: RunsFrom | undefined;
}

/** A failure of the SDK, read. */
export interface Failure {
  /** `undefined`: no answer came. */
  readonly status: number | undefined;
  /** COS's error code, a system error code, or empty. */
  readonly code: string;
  readonly message: string;
  readonly requestId: string | undefined;
  /** The clock of the server, in milliseconds since the epoch. */
  readonly serverTimeMs: number | undefined;
  /** Where a redirect points to. */
  readonly location: string | undefined;
  /** Where the bucket is, where COS says so. */
  readonly bucketRegion: string | undefined;
}

/** The hint for responses that are not from COS. */
export const ODD_ANSWER =
  'Something between here and COS answers for it, or COS has a problem: check COS_ENDPOINT and proxies.';

type Fields = Readonly<Record<string, unknown>>;

const fieldsOf = (value: unknown): Fields =>
  typeof value === 'object' && value !== null ? (value as Fields) : {};
const textOf = (value: unknown): string | undefined =>
  typeof value === 'string' && value !== '' ? value : undefined;

/** Reads an error of the SDK, in any of its forms; `redact` removes secrets from texts. */
export function readFailure(thrown: unknown, redact: (text: string) => string): Failure {
  const outer = fieldsOf(thrown);
  const xml = fieldsOf(outer['error']);
  const headers = fieldsOf(outer['headers']);
  const reported = typeof outer['statusCode'] === 'number' ? outer['statusCode'] : undefined;
  // A connection lost during a good response counts as no response.
  const isCutOff = reported !== undefined && reported < 300 && textOf(xml['Code']) === undefined;
  const status = isCutOff ? undefined : reported;
  const code = textOf(xml['Code']) ?? textOf(outer['code']) ?? '';
  const location = textOf(headers['location']) ?? textOf(xml['Endpoint']);
  const date = Date.parse(textOf(headers['date']) ?? textOf(xml['ServerTime']) ?? '');
  return {
    status,
    // For a response without a body, the SDK's "code" is the status.
    code: code === String(status) || code === 'Error' ? '' : redact(code),
    message: redact(textOf(xml['Message']) ?? messageOf(thrown)),
    requestId: textOf(headers['x-cos-request-id']) ?? textOf(xml['RequestId']),
    serverTimeMs: Number.isNaN(date) ? undefined : date,
    location: location && redact(location),
    bucketRegion:
      textOf(headers['x-cos-bucket-region']) ??
      textOf(xml['Region']) ??
      /\bcos(?:-internal|-website)?[.-]([a-z]+-[a-z]+(?:-\w+)?)\.(?:myqcloud|tencentcos)\.c/.exec(
        location ?? '',
      )?.[1],
  };
}

/** Whether COS refused because this machine's clock is wrong; a response without a body (HEAD) does not show it. */
export function isAboutTime(failure: Failure): boolean {
  if (failure.code === 'RequestTimeTooSkewed') return true;
  if (failure.code === 'AccessDenied') return failure.message.includes('Request has expired');
  return failure.status === 403 && failure.code === '';
}

const RETRYABLE_CODES = new Set([
  'InternalError',
  'ServiceUnavailable',
  'SlowDown',
  'RequestTimeout',
  // Damaged in transit: sending it again can succeed.
  'BadDigest',
]);

function isRetryable({ status, code }: Failure): boolean {
  if (status === undefined) return !isAboutTrust(code);
  return status >= 500 || status === 429 || RETRYABLE_CODES.has(code);
}

const isAboutTrust = (code: string): boolean =>
  /^(?:CERT_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_|ERR_TLS_|EPROTO|ERR_SSL)/.test(code);

/** The progress of a failed call. */
export interface Progress {
  /** The request was sent; otherwise its parameters are wrong. */
  readonly wasMade: boolean;
  /** There was a connection, so COS may have executed it. */
  readonly wasSent: boolean;
  /** The cause was corrected here: the next try may succeed. */
  readonly isMended?: boolean;
}

/** The BackupError of a failed call. */
export function storeError(
  failure: Failure,
  act: StoreCall,
  location: BucketLocation,
  progress: Progress,
): BackupError {
  const { status, code, requestId } = failure;
  const said = [code, failure.message].filter((text) => text !== '').join(': ');
  const refusal = status !== undefined && status >= 300 && status < 500;
  const cause = new Error(said);
  // Our stack trace is useless, and that of the SDK may contain parameters.
  delete cause.stack;
  return new BackupError('store', `cannot ${act.doing}${on(act, location)}: ${said || `HTTP ${status}`}`, {
    retryable: progress.isMended === true || (progress.wasMade && isRetryable(failure)),
    outcomeUnknown: act.commits === true && progress.wasSent && !refusal,
    hint: progress.wasMade
      ? hintFor(failure, act, location)
      : 'The request could not be made: check COS_BUCKET, COS_REGION, COS_PREFIX and the credentials for odd characters.',
    cause,
    details: {
      ...(status === undefined ? {} : { status }),
      ...(code === '' ? {} : { code }),
      ...(requestId === undefined ? {} : { requestId }),
    },
  });
}

/** Whether COS gave a reason: by a specific code, or in the message of an AccessDenied. */
export function reportsReason(error: unknown): boolean {
  if (!(error instanceof BackupError)) return false;
  const { code } = error.details;
  if (typeof code !== 'string') return false;
  return (
    code !== 'AccessDenied' || hasReason({ code, message: messageOf(error.cause).slice(code.length + 2) })
  );
}

/** Why this side ended a call. */
export type Ending =
  | { readonly by: 'time-out'; readonly reason: string }
  | { readonly by: 'abort' | 'close' };

/** The BackupError of a call that this side ended. */
export function endedError(
  ending: Ending,
  act: StoreCall,
  location: BucketLocation,
  wasSent: boolean,
): BackupError {
  const reason =
    ending.by === 'time-out'
      ? ending.reason
      : ending.by === 'abort'
        ? 'the call was aborted'
        : 'the store was closed';
  return new BackupError('store', `cannot ${act.doing}${on(act, location)}: ${reason}`, {
    retryable: ending.by !== 'close',
    outcomeUnknown: act.commits === true && wasSent,
    hint:
      ending.by === 'time-out'
        ? networkHint('', location)
        : 'The run ended this call, mostly because its time was over. Nothing that is not durable was acknowledged.',
    details: { code: ending.by },
  });
}

const on = (act: StoreCall, { bucket, region }: BucketLocation): string =>
  `${act.key === undefined ? '' : ` ${act.key}`} in bucket ${bucket} (${region})`;

function hintFor(failure: Failure, act: StoreCall, location: BucketLocation): string {
  const { status, code } = failure;
  const { bucket, region, runsFrom } = location;
  if (status === undefined) return networkHint(code, location);
  if (status >= 300 && status < 400) return redirectHint(failure, location);
  switch (code) {
    case 'NoSuchBucket':
      return `There is no bucket ${bucket} in ${region}: check COS_BUCKET (name-appid, such as backup-1250000000) and COS_REGION.`;
    case 'SignatureDoesNotMatch':
      return `The secret key does not fit the secret id, or something on the way (COS_ENDPOINT, a proxy) changes requests. Check TENCENTCLOUD_SECRETKEY${runsFrom === 'shell' ? '' : '; in a function, check that it has a run role'}.`;
    case 'ExpiredToken':
    case 'InvalidAccessKeyId':
    case 'InvalidToken':
    case 'InvalidSecurityToken':
      return unknownKeysHint(runsFrom);
    case 'RequestTimeTooSkewed':
      return "This machine's clock is more than 15 minutes wrong: set it, for instance by NTP.";
    case 'NoSuchUpload':
      return "The upload was ended by somebody else: a lifecycle rule, or a clean-up while it was still under way. Run again; if it comes back, look at the bucket's lifecycle rules.";
    case 'SlowDown':
      return "COS limits this bucket's or account's request rate. It is tried again with pauses; if it stays, spread the rules' timers or ask Tencent Cloud for a higher limit.";
    case 'NoSuchKey':
      return 'The object is not there any more: somebody removed it, or a lifecycle rule of the bucket did.';
    case 'InvalidObjectState':
      return 'The object is in an archive storage class: tdmq-backup archive thaw asks COS for a copy that can be read, and says when it is there.';
    case 'InvalidStorageClass':
      return 'The bucket does not take this storage class: check COS_STORAGE_CLASS (the MAZ_ classes need a bucket of several zones, and only such a bucket takes them).';
    case 'KeyTooLong':
      return 'COS takes keys of up to 850 bytes: choose a shorter COS_PREFIX.';
  }
  if (status === 429) return hintFor({ ...failure, code: 'SlowDown' }, act, location);
  // A refusal by COS has a request id, even without a body (HEAD).
  if (status < 500 && code === '' && failure.requestId === undefined) return ODD_ANSWER;
  const denied = status === 403 || status === 451 ? deniedHint(failure) : undefined;
  if (denied !== undefined) return denied;
  if (status === 403) {
    const words = hasReason(failure)
      ? `COS gives the reason: "${failure.message}". Do what that asks for. If it is a permission: `
      : '';
    return `${words}${permissionHint(failure, act, location)}`;
  }
  if (status >= 500 || RETRYABLE_CODES.has(code)) {
    return 'COS has a problem of its own. It is tried again; if it stays, look at the status page and give the request id to Tencent Cloud.';
  }
  return 'COS refuses the request as it is. Look the error code up in the COS documentation and give the request id to Tencent Cloud if it does not help.';
}

function unknownKeysHint(runsFrom: RunsFrom | undefined): string {
  const here =
    'set TENCENTCLOUD_SECRETID, TENCENTCLOUD_SECRETKEY and, for temporary keys, TENCENTCLOUD_SESSIONTOKEN anew.';
  return `The credentials are unknown to COS or have expired${
    runsFrom === 'shell'
      ? `: ${here}`
      : `. In a function, check its run role: the next invocation gets fresh keys. From a shell, ${here}`
  }`;
}

function permissionHint(
  { code }: Failure,
  act: StoreCall,
  { bucket, region, runsFrom }: BucketLocation,
): string {
  const appid = bucket.slice(bucket.lastIndexOf('-') + 1);
  const resource = `qcs::cos:${region}:uid/${appid}:${bucket}/*`;
  const who =
    runsFrom === 'shell'
      ? 'The key in use may not do this'
      : 'The run role (or the key in use) may not do this';
  const reason =
    code === '' ? ' COS reports no reason here: the credentials may also be wrong or expired.' : '';
  return `${who}: its policy needs the action cos:${act.action} on the resource ${resource}.${reason}`;
}

/** COS redirects to the bucket's region; if that is the requested one, the region is not the fault. */
function redirectHint({ location, bucketRegion }: Failure, { region, endpoint }: BucketLocation): string {
  const where = location === undefined ? '' : ` COS points to ${location}.`;
  if (bucketRegion === region) {
    return `The bucket is in ${region}, as COS_REGION says; it is asked at an address that does not serve it. ${
      endpoint === undefined
        ? 'Check what is between here and COS (a proxy, a name server of your own); a bucket that is new answers so for some minutes.'
        : `Check COS_ENDPOINT (${endpoint}), or leave it out.`
    }${where}`;
  }
  if (bucketRegion === undefined) {
    return `The bucket seems to be in another region than ${region}: set COS_REGION to the bucket's own.${where}`;
  }
  return (REGIONS as readonly string[]).includes(bucketRegion)
    ? `The bucket is in another region, ${bucketRegion}: set COS_REGION=${bucketRegion}.${where}`
    : `The bucket is in another region, ${bucketRegion}, where rules cannot store: use a bucket in ${region}.${where}`;
}

function networkHint(code: string, { bucket, region, endpoint, runsFrom }: BucketLocation): string {
  const host = endpoint ?? `${bucket}.cos.${region}.myqcloud.com`;
  if (isAboutTrust(code)) {
    return `The TLS certificate of ${host} is not trusted here: check COS_ENDPOINT, proxies and the system's CAs.`;
  }
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') {
    return `The name ${endpoint === undefined ? host : new URL(endpoint).hostname} cannot be resolved: check ${endpoint === undefined ? 'COS_REGION' : 'COS_ENDPOINT'}, and ${runsFrom === 'shell' ? 'the DNS of this machine' : "the DNS of the function's VPC"}.`;
  }
  return endpoint === undefined
    ? `Check that ${host} can be reached from here: ${runsFrom === 'shell' ? '' : "the function's VPC, its public access, "}firewalls and proxies.`
    : `Check COS_ENDPOINT: nothing usable answers at ${endpoint}.`;
}
