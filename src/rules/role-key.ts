// Reads the key of a TDMQ role through the TDMQ API (DescribeRoles, 2020-02-17). The function does so at run time,
// so this file is the only one of src/rules in its bundle: it imports nothing else from here and never logs the key.
import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { CommonClient } from 'tencentcloud-sdk-nodejs/tencentcloud/common/common_client.js';
import type { ClientProfile } from 'tencentcloud-sdk-nodejs/tencentcloud/common/interface.js';
import type {
  DescribeRolesRequest,
  DescribeRolesResponse,
} from 'tencentcloud-sdk-nodejs/tencentcloud/services/tdmq/v20200217/tdmq_models.js';
import type { Credentials } from '../config.ts';
import { BackupError, messageOf } from '../errors.ts';
import { systemClock } from '../lib/clock.ts';
import { retry } from '../lib/retry.ts';
import { Secret } from '../lib/secret.ts';
import type { Clock } from '../ports.ts';
import type { RunsFrom } from '../read-settings.ts';

const REQUEST_TIMEOUT_SECONDS = 5;
/** The second is reached from inside a VPC without a way out. */
const HOSTS = ['tdmq.tencentcloudapi.com', 'tdmq.internal.tencentcloudapi.com'] as const;
/** The host that answered last: a warm instance of the function does not wait for the other one again. */
let hostInUse = 0;
const PAGE_SIZE = 20;

export interface RoleKeyRequest {
  readonly clusterId: string;
  readonly roleName: string;
  readonly region: string;
  readonly credentials: Credentials;
  readonly signal?: AbortSignal;
  /** `http(s)://host:port` to send requests to instead; the signed Host stays the API's own. */
  readonly endpoint?: string | undefined;
  readonly clock?: Clock;
  /** Who reads the hints; a function where it is not said. */
  readonly runsFrom?: RunsFrom | undefined;
}

/**
 * The role's key (a JWT). Repeats throttled and lost requests, for half a minute at the most.
 * @throws BackupError `source`, with what to grant or set where permission, role or cluster are missing.
 */
export async function readRoleKey(request: RoleKeyRequest): Promise<Secret> {
  const { credentials, endpoint, signal, clock = systemClock } = request;
  const openClient = (host: string) =>
    new CommonClient(host, '2020-02-17', {
      credential: {
        secretId: credentials.secretId,
        secretKey: credentials.secretKey.reveal(),
        ...(credentials.sessionToken === undefined ? {} : { token: credentials.sessionToken.reveal() }),
      },
      region: request.region,
      profile: apiProfile(REQUEST_TIMEOUT_SECONDS, endpoint),
    });
  const describe = (offset: number) =>
    retry(
      async () => {
        const host = HOSTS[hostInUse] as string;
        const query: DescribeRolesRequest = {
          ClusterId: request.clusterId,
          RoleName: request.roleName,
          Offset: offset,
          Limit: PAGE_SIZE,
        };
        try {
          const options = signal === undefined ? {} : { signal };
          return (await openClient(host).request('DescribeRoles', query, options)) as DescribeRolesResponse;
        } catch (error) {
          if (!(error as { code?: string }).code) hostInUse = (hostInUse + 1) % HOSTS.length;
          throw failure(error, request);
        }
      },
      { clock, signal, attempts: 4 },
    );

  // RoleName matches parts of names too, so the wanted role may be on a later page.
  for (let offset = 0; ; offset += PAGE_SIZE) {
    const { RoleSets: roles, TotalCount: total } = await describe(offset);
    const role = roles?.find((one) => one.RoleName === request.roleName);
    if (role?.Token) return new Secret(role.Token);
    if (role !== undefined || !roles?.length || offset + roles.length >= (total ?? 0)) {
      throw noKey(request, role !== undefined);
    }
  }
}

/**
 * How a client of the cloud API sends: bounded in time, and to `endpoint` where one is given. The requests are
 * addressed and signed as for the API itself; only the connection goes elsewhere.
 */
export function apiProfile(timeoutSeconds: number, endpoint: string | undefined): ClientProfile {
  if (endpoint === undefined) return { httpProfile: { reqTimeout: timeoutSeconds } };
  const { protocol, hostname, port } = new URL(endpoint);
  const agent = protocol === 'https:' ? new HttpsAgent() : new HttpAgent();
  const connect = agent.createConnection.bind(agent);
  agent.createConnection = (options, done) =>
    connect({ ...options, host: hostname, port: Number(port || (protocol === 'https:' ? 443 : 80)) }, done);
  return {
    httpProfile: { reqTimeout: timeoutSeconds, protocol: `${protocol}//` as 'http://' | 'https://', agent },
  };
}

function failure(error: unknown, { clusterId, roleName, region, runsFrom }: RoleKeyRequest): BackupError {
  const { code, httpCode, requestId } = error as { code?: string; httpCode?: number; requestId?: string };
  const isShell = runsFrom === 'shell';
  const what = `The key of TDMQ role ${roleName} cannot be read`;
  const about = {
    cause: error,
    details: {
      ...(code ? { apiCode: code } : {}),
      ...(httpCode ? { httpStatus: httpCode } : {}),
      ...(requestId ? { apiRequestId: requestId } : {}),
    },
  };
  if (!code) {
    return new BackupError('source', `${what}: no answer from the TDMQ API (${messageOf(error)})`, {
      ...about,
      retryable: true,
      hint: `Neither the public nor the internal address of the API answers: ${isShell ? 'let this machine reach tdmq.tencentcloudapi.com' : 'switch public access of the function on'}, or set PULSAR_TOKEN to the key instead of TDMQ_ROLE_NAME.`,
    });
  }
  if (code.startsWith('UnauthorizedOperation') || code === 'AuthFailure.UnauthorizedOperation') {
    return new BackupError(
      'source',
      `${what}: ${isShell ? 'these API keys lack' : 'the run role lacks'} the permission (${code})`,
      {
        ...about,
        hint: `Grant ${isShell ? 'these API keys' : "the function's run role"} tdmq:DescribeRoles (policies/run-role-tdmq.json), or set PULSAR_TOKEN instead of TDMQ_ROLE_NAME.`,
      },
    );
  }
  if (code.startsWith('AuthFailure')) {
    return new BackupError('source', `${what}: the TDMQ API refuses the credentials (${code})`, {
      ...about,
      hint: isShell
        ? 'Check your API keys, and the clock of this machine.'
        : 'Check that the function has a run role that exists; from a shell, check your own keys and the clock.',
    });
  }
  if (code.startsWith('ResourceNotFound') || code.startsWith('InvalidParameterValue.ClusterId')) {
    return new BackupError('source', `${what}: there is no cluster ${clusterId} in this region (${code})`, {
      ...about,
      hint: `Set TDMQ_CLUSTER_ID to the id of a cluster in ${region}${isShell ? ', or COS_REGION to its region' : ', the region of the function'}.`,
    });
  }
  return new BackupError('source', `${what}: ${messageOf(error)} (${code})`, {
    ...about,
    retryable: /^(RequestLimitExceeded|InternalError|ServiceUnavailable|LimitExceeded\.Frequency)/.test(code),
    hint: 'If it stays, look at the state of the cluster in the TDMQ console, with the API request id at hand.',
  });
}

function noKey({ clusterId, roleName }: RoleKeyRequest, roleExists: boolean): BackupError {
  return roleExists
    ? new BackupError('source', `TDMQ role ${roleName} of cluster ${clusterId} has no key`, {
        hint: 'Its key may be kept by a rotation service: create a role with a permanent key, or set PULSAR_TOKEN.',
      })
    : new BackupError('source', `There is no TDMQ role ${roleName} in cluster ${clusterId}`, {
        hint: 'Create the role in the TDMQ console and let it consume the namespace, or correct TDMQ_ROLE_NAME.',
      });
}
