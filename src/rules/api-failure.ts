// Interprets failures of the cloud's APIs: whether to retry or undo the call, or what a person should do.
import { BackupError, messageOf } from '../errors.ts';

/** Idempotent actions. Not UpdateFunction…: SCF refuses a second one while it executes the first. */
const REPEATABLE =
  /^(Describe|Get|List|Search|Put|Delete|Attach|Detach|Reset|UpdateTrigger|UpdatePolicy|UpdateFunctionEventInvokeConfig)/;
const READING = /^(Describe|Get|List|Search)/;

const NEVER_SENT = /ECONNREFUSED|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH/;

/** A failed call as it is thrown: whether it may be repeated, whether it may have been done, and what to do. */
export function apiFailure(
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
const HINTS: readonly (readonly [RegExp, string])[] = [
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
  [
    /^InvalidParameterValue\.EnvironmentExceededLimit/,
    'SCF takes 4 KB of settings: shorten them, or keep the role key out of them with --role-key runtime.',
  ],
  [
    /^LimitExceeded\.Function$/,
    'The region has as many functions as the account may have: delete one, or raise the quota in the SCF console.',
  ],
  [
    /^LimitExceeded\.Trigger/,
    'SCF takes 10 timers for a function: take fewer instances, or make a second rule on the same subscription and prefix.',
  ],
  [
    /^InvalidParameterValue\.Runtime/,
    'The region does not have this runtime: leave --runtime out, or choose another.',
  ],
  [
    /^ResourceNotFound\.Vpc/,
    'Correct --vpc and --subnet: both must be in the region of the function, and the subnet in that VPC.',
  ],
  [
    /^UnauthorizedOperation\.Role/,
    'SCF was refused by a role: let scf.qcloud.com assume the run role, let these keys pass it (cam:PassRole, in policies/deploy-user.json), and where SCF is new in this account, grant SCF its service role in the SCF console.',
  ],
  [/^ResourceNotFound\.Function/, 'See `tdmq-backup rule list` for the rules of this region.'],
  [
    /^(ResourceNotFound|InvalidParameterValue|InvalidParameter)\.Role/,
    'Name a CAM role that exists and that scf.qcloud.com may assume.',
  ],
  [
    /Insufficient|LackOfBalance|Arrears|^ResourceUnavailable\.InsufficientBalance/,
    'The account is out of credit, or SCF is suspended: see the billing console.',
  ],
  [
    /ReservedConcurrency|TotalConcurrencyMemory|^LimitExceeded\.(Quota|Memory)|^ResourceUnavailable\.|^InvalidParameterValue\.ReservedConcurrencyMem/,
    'The region has no concurrency left to reserve: raise the quota in the SCF console, or pass --no-reserve.',
  ],
  [/^(InternalError|ServiceUnavailable)/, 'The service failed by itself: try again in a minute.'],
];

/** The policy of this package that allows an action. Who deploys with a run role that exists needs no more than GetRole. */
const policyOf = (service: string, action: string) =>
  service === 'cam' && action !== 'GetRole' ? 'policies/deploy-user-roles.json' : 'policies/deploy-user.json';

/** What to do about an error code of an action. */
export function hintFor(code: string, service: string, action: string): string {
  const hint = HINTS.find(([pattern]) => pattern.test(code))?.[1];
  if (hint !== undefined) return hint;
  if (/^(UnauthorizedOperation|AuthFailure\.UnauthorizedOperation)/.test(code)) {
    return `These API keys may not do this: grant them ${service}:${action}. ${policyOf(service, action)} has it, with all that these commands need.`;
  }
  if (code === '') return `Check that ${service}.tencentcloudapi.com can be reached from here.`;
  return 'The message is the API’s own; its request id helps when you ask the support.';
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
