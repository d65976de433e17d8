// The cloud APIs that rules are made with: SCF, TDMQ, CAM, CLS, VPC, through the official SDK. Calls are bounded in
// time, repeated where that is safe, and fail as BackupErrors with a cure. Nothing here knows what a rule is.
import { CommonClient } from 'tencentcloud-sdk-nodejs/tencentcloud/common/common_client.js';
import type { Client as CamClient } from 'tencentcloud-sdk-nodejs/tencentcloud/services/cam/v20190116/cam_client.js';
import type { Client as ClsClient } from 'tencentcloud-sdk-nodejs/tencentcloud/services/cls/v20201016/cls_client.js';
import type { Client as ScfClient } from 'tencentcloud-sdk-nodejs/tencentcloud/services/scf/v20180416/scf_client.js';
import type { Client as TdmqClient } from 'tencentcloud-sdk-nodejs/tencentcloud/services/tdmq/v20200217/tdmq_client.js';
import type { Client as VpcClient } from 'tencentcloud-sdk-nodejs/tencentcloud/services/vpc/v20170312/vpc_client.js';
import { systemClock } from '../clock.ts';
import type { Credentials } from '../config.ts';
import { BackupError, messageOf } from '../errors.ts';
import type { Clock } from '../ports.ts';
import { retry } from '../retry.ts';
import type { Secret } from '../secret.ts';
import { apiProfile, readRoleKey } from './role-key.ts';

interface Clients {
  scf: ScfClient;
  tdmq: TdmqClient;
  cam: CamClient;
  cls: ClsClient;
  vpc: VpcClient;
}

export type ServiceName = keyof Clients;

const VERSIONS: Readonly<Record<ServiceName, string>> = {
  scf: '2018-04-16',
  tdmq: '2020-02-17',
  cam: '2019-01-16',
  cls: '2020-10-16',
  vpc: '2017-03-12',
};

type Method<S extends ServiceName, A extends keyof Clients[S]> = Clients[S][A] extends (
  request: infer Request,
  ...more: never[]
) => Promise<infer Response>
  ? { request: Request; response: Response }
  : never;

/** A request's fields; `undefined` ones are not sent. */
export type ApiRequest<S extends ServiceName, A extends keyof Clients[S]> = {
  [K in keyof Method<S, A>['request']]: Method<S, A>['request'][K] | undefined;
};
export type ApiResponse<S extends ServiceName, A extends keyof Clients[S]> = Method<S, A>['response'];

export interface CallSettings {
  readonly signal?: AbortSignal | undefined;
  readonly timeoutSeconds?: number;
}

/** One account in one region. */
export interface Cloud {
  readonly region: string;
  readonly clock: Clock;
  /** The key of a TDMQ role. @throws BackupError `source` */
  readRoleKey(clusterId: string, roleName: string): Promise<Secret>;
  /**
   * Calls an action (`cloud.call('scf', 'GetFunction', {…})`). What may be repeated is, after any passing failure;
   * the rest only where the API cannot have done it. @throws BackupError `rule`, with `apiCode` in its details
   */
  call<S extends ServiceName, A extends keyof Clients[S] & string>(
    service: S,
    action: A,
    request: ApiRequest<S, A>,
    settings?: CallSettings,
  ): Promise<ApiResponse<S, A>>;
}

export interface CloudOptions {
  readonly credentials: Credentials;
  readonly region: string;
  /** `http(s)://host:port` to send requests to instead of the API's own domains. */
  readonly endpoint?: string | undefined;
  readonly clock?: Clock;
  readonly signal?: AbortSignal | undefined;
  /** Told before each further try. */
  readonly onRetry?: (error: BackupError) => void;
}

const REQUEST_TIMEOUT_SECONDS = 30;
/** What comes to the same however often it is done. Not UpdateFunction…: a second one is refused while SCF does the first. */
const REPEATABLE =
  /^(Describe|Get|List|Search|Put|Delete|Attach|Detach|Reset|UpdateTrigger|UpdateFunctionEventInvokeConfig)/;
const READING = /^(Describe|Get|List|Search)/;

/** Opens no connection yet; every call makes its own. */
export function openCloud(options: CloudOptions): Cloud {
  const { credentials, region, endpoint, clock = systemClock } = options;
  const credential = {
    secretId: credentials.secretId,
    secretKey: credentials.secretKey.reveal(),
    ...(credentials.sessionToken === undefined ? {} : { token: credentials.sessionToken.reveal() }),
  };
  return {
    region,
    clock,
    readRoleKey: async (clusterId, roleName) => {
      const { signal } = options;
      try {
        return await readRoleKey({
          ...{ clusterId, roleName, region, credentials, endpoint, clock },
          ...(signal && { signal }),
        });
      } catch (error) {
        // It speaks of the function's role; here a person's own keys are at work.
        if (!isForbidden(error)) throw error;
        throw new BackupError('rule', messageOf(error), {
          cause: error,
          hint: hintFor(apiCode(error), 'tdmq', 'DescribeRoles'),
        });
      }
    },
    call: (service, action, request, settings = {}) => {
      const client = new CommonClient(`${service}.tencentcloudapi.com`, VERSIONS[service], {
        credential,
        region,
        profile: apiProfile(settings.timeoutSeconds ?? REQUEST_TIMEOUT_SECONDS, endpoint),
      });
      const signal = 'signal' in settings ? settings.signal : options.signal;
      return retry(
        async () => {
          try {
            signal?.throwIfAborted();
            return await client.request(action, request, signal === undefined ? {} : { signal });
          } catch (error) {
            throw failure(error, service, action, signal);
          }
        },
        {
          clock,
          signal,
          attempts: 5,
          baseDelayMs: 400,
          ...(options.onRetry && { onRetry: options.onRetry }),
        },
      );
    },
  };
}

/** The API's error code, such as `ResourceNotFound.Function`; empty for other errors. */
export function apiCode(error: unknown): string {
  return error instanceof BackupError ? String(error.details['apiCode'] ?? '') : '';
}

/** Whether the API says that the thing is not there. */
export function isNotFound(error: unknown): boolean {
  return /^ResourceNotFound|NotExist|NotFound$/.test(apiCode(error));
}

/** What a call answers, or `undefined` where the thing it is about is not there. */
export async function ifThere<T>(call: Promise<T>): Promise<T | undefined> {
  try {
    return await call;
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}

/** Whether the API says that these credentials may not do it. */
export function isForbidden(error: unknown): boolean {
  return /^(UnauthorizedOperation|AuthFailure\.UnauthorizedOperation)/.test(apiCode(error));
}

/** Everything of a list that comes in pages; `page` answers the rows from `offset` on and how many there are in all. */
export async function allPages<T>(
  page: (offset: number) => Promise<{ rows: readonly T[] | undefined; total: number | undefined }>,
): Promise<T[]> {
  const all: T[] = [];
  for (;;) {
    const { rows, total } = await page(all.length);
    all.push(...(rows ?? []));
    if (!rows?.length || all.length >= (total ?? 0)) return all;
  }
}

const NEVER_SENT = /ECONNREFUSED|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH/;

function failure(
  error: unknown,
  service: string,
  action: string,
  signal: AbortSignal | undefined,
): BackupError {
  const {
    code = '',
    httpCode,
    requestId,
  } = error as { code?: string; httpCode?: number; requestId?: string };
  const reason = code === '' ? messageOf(error) : `${messageOf(error)} (${code})`;
  const isPassing =
    code === ''
      ? signal?.aborted !== true
      : /^(RequestLimitExceeded|InternalError|ServiceUnavailable|LimitExceeded\.Frequency)/.test(code);
  const isUndone = code === '' ? NEVER_SENT.test(messageOf(error)) : !/^InternalError/.test(code);
  return new BackupError('rule', `${service}:${action} failed: ${reason}`, {
    cause: error,
    retryable: isPassing && (isUndone || REPEATABLE.test(action)),
    outcomeUnknown: !isUndone && !READING.test(action),
    hint: hintFor(code, service, action),
    details: {
      ...(code ? { apiCode: code } : {}),
      ...(httpCode ? { httpStatus: httpCode } : {}),
      ...(requestId ? { apiRequestId: requestId } : {}),
    },
  });
}

/** What to do about an error code, by its family. */
const CURES: readonly (readonly [RegExp, string])[] = [
  [
    /^AuthFailure\.SignatureExpire/,
    "Set this machine's clock: the API refuses requests that are minutes off.",
  ],
  [
    /^AuthFailure\.(?!UnauthorizedOperation)/,
    'Check the API keys: TENCENTCLOUD_SECRET_ID and TENCENTCLOUD_SECRET_KEY (and TENCENTCLOUD_TOKEN for temporary ones), or the profile that --profile names.',
  ],
  [/^RequestLimitExceeded/, 'Too many calls at once in this account: wait a minute and try again.'],
  [
    /^OperationDenied\.ConsumerRunning/,
    'A run, or somebody else, is connected to the subscription: wait until it has ended, or pause the rule, and try again.',
  ],
  [
    /PolicyNameInUse/,
    'Delete the policy of that name in the CAM console if nothing needs it, or name a run role with --run-role.',
  ],
  [/^ResourceInUse\.Function/, 'Choose another name: functions of a region have different names.'],
  [/^ResourceNotFound\.Function/, 'See `tdmq-backup rule list` for the rules of this region.'],
  [
    /^(InvalidParameterValue|InvalidParameter)\.Role/,
    'Name a CAM role that exists and that scf.qcloud.com may assume.',
  ],
  [
    /Insufficient|LackOfBalance|Arrears|^ResourceUnavailable\.InsufficientBalance/,
    'The account is out of credit, or SCF is suspended: see the billing console.',
  ],
  [
    /ReservedConcurrency|^LimitExceeded\.(Quota|Memory)|^ResourceUnavailable\.|^InvalidParameterValue\.ReservedConcurrencyMem/,
    'The region has no concurrency left to reserve: raise the quota in the SCF console, or pass --no-reserve.',
  ],
  [/^(InternalError|ServiceUnavailable)/, 'The service failed by itself: try again in a minute.'],
];

/** The policy of this package that allows an action. Who deploys with a run role that exists needs no more than GetRole. */
const policyOf = (service: string, action: string) =>
  service === 'cam' && action !== 'GetRole' ? 'policies/deploy-user-roles.json' : 'policies/deploy-user.json';

function hintFor(code: string, service: string, action: string): string {
  if (/^(UnauthorizedOperation|AuthFailure\.UnauthorizedOperation)/.test(code)) {
    return `These API keys may not do this: grant them ${service}:${action}. ${policyOf(service, action)} has it, with all that these commands need.`;
  }
  const cure = CURES.find(([pattern]) => pattern.test(code))?.[1];
  if (cure !== undefined) return cure;
  if (code === '') return `Check that ${service}.tencentcloudapi.com can be reached from here.`;
  return 'The message is the API’s own; its request id helps when you ask the support.';
}
