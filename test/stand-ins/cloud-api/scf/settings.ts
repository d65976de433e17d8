// The settings of a function, refused as SCF refuses them.
import type { Scene } from '../action.ts';
import { ApiError } from '../api-error.ts';
import { named } from './function.ts';

const FORBIDDEN_VARIABLE = /^(SCF_|QCLOUD_|TENCENTCLOUD_)/;
const MAX_ENVIRONMENT_BYTES = 4096;

/** Parameters of the calls that set them. */
export const settings = {
  ...named,
  Description: 'string',
  MemorySize: 'number',
  Timeout: 'number',
  Environment: 'object',
  VpcConfig: 'object',
  PublicNetConfig: 'object',
  Role: 'string',
  ClsLogsetId: 'string',
  ClsTopicId: 'string',
  DiskSize: 'number',
  L5Enable: 'string',
} as const;

interface Code {
  readonly ZipFile?: string;
  readonly CosBucketName?: string;
  readonly CosObjectName?: string;
}

/** The bytes of a zip; of one in COS, its name. @throws ApiError for anything else */
export function zipOf(code: Code | undefined): Uint8Array {
  if (code?.CosBucketName && code.CosObjectName) {
    return Buffer.from(`${code.CosBucketName}${code.CosObjectName}`);
  }
  const zip = Buffer.from(code?.ZipFile ?? '', 'base64');
  if (zip.subarray(0, 2).toString('latin1') !== 'PK') {
    throw new ApiError('InvalidParameterValue.ZipFile', 'The code is not a zip file.');
  }
  return zip;
}

/** The variables. @throws ApiError for empty, forbidden or too many of them */
export function environmentOf({ request }: Scene): Record<string, string> {
  const variables = (request['Environment']?.Variables ?? []) as { Key?: string; Value?: string }[];
  let sizeBytes = 0;
  for (const { Key: key, Value: value } of variables) {
    if (!key || !value) {
      throw new ApiError('InvalidParameterValue.EnvironmentVariable', 'Keys and values must not be empty.');
    }
    if (FORBIDDEN_VARIABLE.test(key)) {
      throw new ApiError('InvalidParameterValue.EnvironmentSystemEnvKey', `${key} is the system's.`);
    }
    sizeBytes += Buffer.byteLength(key) + Buffer.byteLength(value);
  }
  if (sizeBytes > MAX_ENVIRONMENT_BYTES) {
    throw new ApiError('InvalidParameterValue.EnvironmentExceededLimit', 'More than 4 KB.');
  }
  return Object.fromEntries(variables.map((one) => [one.Key as string, one.Value as string]));
}

/** @throws ApiError for memory, time-out, role or network that SCF does not take */
export function checkSettings({ request, state }: Scene): void {
  const { MemorySize: memory, Timeout: timeout, Role: role, VpcConfig: vpc } = request;
  if (memory !== undefined && (memory < 64 || memory > 3072 || (memory !== 64 && memory % 128 !== 0))) {
    throw new ApiError('InvalidParameterValue.MemorySize', 'MemorySize is not allowed.');
  }
  if (timeout !== undefined && (timeout < 1 || timeout > 900)) {
    throw new ApiError('InvalidParameterValue.Timeout', 'Timeout is not allowed.');
  }
  if (role && !state.camRoles.has(role)) throw new ApiError('ResourceNotFound.Role', 'No such role.');
  if (vpc?.SubnetId && state.subnets.get(vpc.SubnetId)?.vpcId !== vpc.VpcId) {
    throw new ApiError('ResourceNotFound.Vpc', 'No such subnet in the VPC.');
  }
}
