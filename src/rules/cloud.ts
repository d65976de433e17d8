// The cloud APIs that rules are made with: SCF, TDMQ, CAM, CLS, VPC, through the official SDK. Calls are bounded in
// time, repeated where that is safe, and fail as BackupErrors with a hint. Nothing here knows what a rule is.
import { CommonClient } from 'tencentcloud-sdk-nodejs/tencentcloud/common/common_client.js';
import type { Client as CamClient } from 'tencentcloud-sdk-nodejs/tencentcloud/services/cam/v20190116/cam_client.js';
import type { Client as ClsClient } from 'tencentcloud-sdk-nodejs/tencentcloud/services/cls/v20201016/cls_client.js';
import type { Client as ScfClient } from 'tencentcloud-sdk-nodejs/tencentcloud/services/scf/v20180416/scf_client.js';
import type { Client as TdmqClient } from 'tencentcloud-sdk-nodejs/tencentcloud/services/tdmq/v20200217/tdmq_client.js';
import type { Client as VpcClient } from 'tencentcloud-sdk-nodejs/tencentcloud/services/vpc/v20170312/vpc_client.js';
import type { Credentials } from '../config.ts';
import { BackupError, messageOf } from '../errors.ts';
import { systemClock } from '../lib/clock.ts';
import { retry } from '../lib/retry.ts';
import type { Secret } from '../lib/secret.ts';
import type { Clock } from '../ports.ts';
import { apiCode, apiFailure, hintFor, isForbidden } from './api-failure.ts';
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
  /** Called before each further try. */
  readonly onRetry?: (error: BackupError) => void;
}

const REQUEST_TIMEOUT_SECONDS = 30;

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
          runsFrom: 'shell',
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
      const signal = settings.signal ?? options.signal;
      return retry(
        async () => {
          try {
            signal?.throwIfAborted();
            return await client.request(action, request, signal === undefined ? {} : { signal });
          } catch (error) {
            throw apiFailure(error, service, action, signal);
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
