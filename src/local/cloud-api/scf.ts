// SCF API 2018-04-16: functions, timers, reserved concurrency, retry policy, invocations. Functions are kept, not run:
// an invocation does what the state's `run` says.
import { randomUUID } from 'node:crypto';
import { type Action, page, type Scene } from './action.ts';
import { ApiError } from './api-error.ts';
import type { RunResult, ScfFunction, Tag, Trigger } from './state.ts';

const FORBIDDEN_VARIABLE = /^(SCF_|QCLOUD_|TENCENTCLOUD_)/;
const MAX_ENVIRONMENT_BYTES = 4096;

/** SCF tells times in China's zone, without saying so. */
const stamp = (ms: number) => new Date(ms + 8 * 3_600_000).toISOString().slice(0, 19).replace('T', ' ');

function functionOf({ request, state, region }: Scene): ScfFunction {
  const fn = state.functions.get(request['FunctionName']);
  if (fn === undefined || fn.region !== region) {
    throw new ApiError('ResourceNotFound.Function', 'The function does not exist.');
  }
  return fn;
}

/** Most calls are refused while the function is being made or changed. */
function activeFunctionOf(scene: Scene): ScfFunction {
  const fn = functionOf(scene);
  if (fn.status !== 'Active') {
    throw new ApiError('FailedOperation.FunctionStatusError', `The function is ${fn.status}.`);
  }
  return fn;
}

function zipOf(code: { ZipFile?: string } | undefined): Uint8Array {
  const zip = Buffer.from(code?.ZipFile ?? '', 'base64');
  if (zip.subarray(0, 2).toString('latin1') !== 'PK') {
    throw new ApiError('InvalidParameterValue.ZipFile', 'The code is not a zip file.');
  }
  return zip;
}

function environmentOf({ request }: Scene): Record<string, string> {
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

function checkSettings({ request, state }: Scene): void {
  const { MemorySize: memory, Timeout: timeout, Role: role, VpcConfig: vpc } = request;
  if (memory !== undefined && (memory < 64 || memory > 3072 || (memory !== 64 && memory % 128 !== 0))) {
    throw new ApiError('InvalidParameterValue.MemorySize', 'MemorySize is not allowed.');
  }
  if (timeout !== undefined && (timeout < 1 || timeout > 900)) {
    throw new ApiError('InvalidParameterValue.Timeout', 'Timeout is not allowed.');
  }
  if (role && !state.camRoles.has(role)) throw new ApiError('InvalidParameterValue.Role', 'No such role.');
  if (vpc?.SubnetId && state.subnets.get(vpc.SubnetId)?.vpcId !== vpc.VpcId) {
    throw new ApiError('ResourceNotFound.VpcNotFound', 'No such subnet in the VPC.');
  }
}

function touch(fn: ScfFunction, scene: Scene): void {
  fn.modTime = stamp(scene.nowMs);
  if (scene.state.pollsUntilActive > 0) {
    fn.status = fn.status === 'Creating' ? 'Creating' : 'Updating';
    fn.pollsLeft = scene.state.pollsUntilActive;
  }
}

const describeTrigger = (one: Trigger) => ({
  TriggerName: one.name,
  Type: one.type,
  TriggerDesc: JSON.stringify({ cron: one.cron }),
  Enable: one.open ? 1 : 0,
  Qualifier: one.qualifier,
  AvailableStatus: 'Available',
});

function cronOf(text: unknown): string {
  if (typeof text !== 'string' || text.trim().split(/\s+/).length !== 7) {
    throw new ApiError('InvalidParameterValue.Cron', 'The cron expression must have 7 fields.');
  }
  return text;
}

function triggerOf(fn: ScfFunction, { request }: Scene): Trigger {
  const found = fn.triggers.find(
    (one) => one.name === request['TriggerName'] && one.qualifier === (request['Qualifier'] ?? '$LATEST'),
  );
  if (found === undefined) throw new ApiError('ResourceNotFound.Trigger', 'The trigger does not exist.');
  return found;
}

function isOpen(text: unknown): boolean {
  if (text !== 'OPEN' && text !== 'CLOSE')
    throw new ApiError('InvalidParameterValue.Enable', 'OPEN or CLOSE.');
  return text === 'OPEN';
}

/** SCF writes each line of stdout to CLS; a JSON line is parsed into fields, one level deep. */
function writeLogs(scene: Scene, fn: ScfFunction, requestId: string, result: RunResult): void {
  const topic = fn.cls === undefined ? undefined : scene.state.logTopics.get(fn.cls.topicId);
  for (const line of result.lines ?? []) {
    const own = Object.entries(line).map(([key, value]) => [
      key,
      typeof value === 'object' ? JSON.stringify(value) : String(value),
    ]);
    topic?.push({
      timeMs: scene.nowMs,
      fields: {
        SCF_FunctionName: fn.name,
        SCF_RequestId: requestId,
        SCF_Type: 'Custom',
        SCF_Message: JSON.stringify(line),
        ...Object.fromEntries(own),
      },
    });
  }
}

const returned = (result: RunResult) =>
  result.error === undefined
    ? JSON.stringify(result.result ?? null)
    : JSON.stringify({ errorCode: 1, errorMessage: result.error, stackTrace: '' });

const named = { FunctionName: 'string!', Namespace: 'string' } as const;
const settings = {
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
} as const;

export const scfActions: Readonly<Record<string, Action>> = {
  CreateFunction: {
    takes: {
      ...settings,
      Code: 'object!',
      Handler: 'string',
      Runtime: 'string',
      Type: 'string',
      CodeSource: 'string',
      Tags: 'array',
      InstallDependency: 'string',
    },
    answer: (scene) => {
      const { request, state } = scene;
      const name = request['FunctionName'] as string;
      if (!/^[A-Za-z][A-Za-z0-9_-]{0,58}[A-Za-z0-9]$/.test(name)) {
        throw new ApiError('InvalidParameterValue.FunctionName', 'The name is not allowed.');
      }
      if (state.functions.has(name)) throw new ApiError('ResourceInUse.Function', 'The function exists.');
      checkSettings(scene);
      const fn: ScfFunction = {
        name,
        region: scene.region,
        status: state.pollsUntilActive > 0 ? 'Creating' : 'Active',
        pollsLeft: state.pollsUntilActive,
        zip: zipOf(request['Code']),
        handler: request['Handler'] ?? '',
        runtime: request['Runtime'] ?? 'Python2.7',
        description: request['Description'] ?? '',
        memory: request['MemorySize'] ?? 128,
        timeout: request['Timeout'] ?? 3,
        environment: environmentOf(scene),
        vpc: request['VpcConfig'],
        publicNet: request['PublicNetConfig']?.PublicNetStatus !== 'DISABLE',
        role: request['Role'],
        cls: request['ClsTopicId'] && { logsetId: request['ClsLogsetId'], topicId: request['ClsTopicId'] },
        tags: (request['Tags'] ?? []) as Tag[],
        triggers: [],
        reservedMemory: undefined,
        retry: { retryNum: 2, ttlSeconds: 21_600 },
        addTime: stamp(scene.nowMs),
        modTime: stamp(scene.nowMs),
      };
      state.functions.set(name, fn);
      return {};
    },
  },
  UpdateFunctionConfiguration: {
    takes: { ...settings, Publish: 'string' },
    answer: (scene) => {
      const fn = activeFunctionOf(scene);
      const { request } = scene;
      checkSettings(scene);
      fn.memory = request['MemorySize'] ?? fn.memory;
      fn.timeout = request['Timeout'] ?? fn.timeout;
      fn.description = request['Description'] ?? fn.description;
      fn.role = request['Role'] ?? fn.role;
      fn.vpc = request['VpcConfig'] ?? fn.vpc;
      if (request['Environment'] !== undefined) fn.environment = environmentOf(scene);
      if (request['ClsTopicId'] !== undefined) {
        fn.cls = { logsetId: request['ClsLogsetId'] ?? '', topicId: request['ClsTopicId'] };
      }
      touch(fn, scene);
      return {};
    },
  },
  UpdateFunctionCode: {
    takes: { ...named, ZipFile: 'string', Code: 'object', CodeSource: 'string', Handler: 'string' },
    answer: (scene) => {
      const fn = activeFunctionOf(scene);
      fn.zip = zipOf(scene.request['Code'] ?? { ZipFile: scene.request['ZipFile'] });
      touch(fn, scene);
      return {};
    },
  },
  GetFunction: {
    takes: { ...named, Qualifier: 'string', ShowCode: 'string' },
    answer: (scene) => {
      const fn = functionOf(scene);
      if (fn.status !== 'Active' && fn.status !== 'CreateFailed') {
        if (fn.pollsLeft === 0) fn.status = 'Active';
        else fn.pollsLeft -= 1;
      }
      return {
        FunctionName: fn.name,
        Namespace: 'default',
        Status: fn.status,
        StatusDesc: fn.status === 'CreateFailed' ? 'As the test asked.' : '',
        Handler: fn.handler,
        Runtime: fn.runtime,
        Description: fn.description,
        MemorySize: fn.memory,
        Timeout: fn.timeout,
        Type: 'Event',
        Environment: {
          Variables: Object.entries(fn.environment).map(([Key, Value]) => ({ Key, Value })),
        },
        VpcConfig: fn.vpc ?? { VpcId: '', SubnetId: '' },
        PublicNetConfig: { PublicNetStatus: fn.publicNet ? 'ENABLE' : 'DISABLE' },
        Role: fn.role ?? '',
        ClsLogsetId: fn.cls?.logsetId ?? '',
        ClsTopicId: fn.cls?.topicId ?? '',
        Tags: fn.tags,
        Triggers: fn.triggers.map(describeTrigger),
        AddTime: fn.addTime,
        ModTime: fn.modTime,
        CodeSize: fn.zip.byteLength,
      };
    },
  },
  ListFunctions: {
    takes: { Offset: 'number', Limit: 'number', Filters: 'array', SearchKey: 'string', Namespace: 'string' },
    answer: (scene) => {
      const all = [...scene.state.functions.values()].filter((one) => one.region === scene.region);
      return {
        TotalCount: all.length,
        Functions: page(all, scene, 20, 100).map((one) => ({
          FunctionName: one.name,
          Status: one.status,
          Runtime: one.runtime,
          Tags: one.tags,
          AddTime: one.addTime,
          ModTime: one.modTime,
        })),
      };
    },
  },
  DeleteFunction: {
    takes: { ...named, Qualifier: 'string' },
    answer: (scene) => {
      scene.state.functions.delete(functionOf(scene).name);
      return {};
    },
  },
  CreateTrigger: {
    takes: {
      ...named,
      TriggerName: 'string!',
      Type: 'string!',
      TriggerDesc: 'string',
      Qualifier: 'string',
      Enable: 'string',
      CustomArgument: 'string',
    },
    answer: (scene) => {
      const fn = activeFunctionOf(scene);
      const { request } = scene;
      if (fn.triggers.some((one) => one.name === request['TriggerName'])) {
        throw new ApiError('ResourceInUse.Trigger', 'The trigger exists.');
      }
      const trigger: Trigger = {
        name: request['TriggerName'],
        type: request['Type'],
        cron: cronOf(request['TriggerDesc']),
        open: isOpen(request['Enable'] ?? 'OPEN'),
        qualifier: request['Qualifier'] ?? '$LATEST',
        argument: request['CustomArgument'],
      };
      fn.triggers.push(trigger);
      return { TriggerInfo: describeTrigger(trigger) };
    },
  },
  UpdateTrigger: {
    takes: {
      ...named,
      TriggerName: 'string!',
      Type: 'string!',
      Enable: 'string',
      Qualifier: 'string',
      TriggerDesc: 'string',
      CustomArgument: 'string',
    },
    answer: (scene) => {
      const trigger = triggerOf(activeFunctionOf(scene), scene);
      if (scene.request['TriggerDesc'] !== undefined) trigger.cron = cronOf(scene.request['TriggerDesc']);
      if (scene.request['Enable'] !== undefined) trigger.open = isOpen(scene.request['Enable']);
      return {};
    },
  },
  UpdateTriggerStatus: {
    takes: { ...named, TriggerName: 'string!', Type: 'string!', Enable: 'string!', Qualifier: 'string' },
    answer: (scene) => {
      triggerOf(functionOf(scene), scene).open = isOpen(scene.request['Enable']);
      return {};
    },
  },
  DeleteTrigger: {
    takes: { ...named, TriggerName: 'string!', Type: 'string!', Qualifier: 'string' },
    answer: (scene) => {
      const fn = functionOf(scene);
      fn.triggers.splice(fn.triggers.indexOf(triggerOf(fn, scene)), 1);
      return {};
    },
  },
  PutReservedConcurrencyConfig: {
    takes: { ...named, ReservedConcurrencyMem: 'number!' },
    answer: (scene) => {
      activeFunctionOf(scene).reservedMemory = scene.request['ReservedConcurrencyMem'];
      return {};
    },
  },
  DeleteReservedConcurrencyConfig: {
    takes: named,
    answer: (scene) => {
      functionOf(scene).reservedMemory = undefined;
      return {};
    },
  },
  GetReservedConcurrencyConfig: {
    takes: named,
    answer: (scene) => ({ ReservedMem: functionOf(scene).reservedMemory ?? null }),
  },
  UpdateFunctionEventInvokeConfig: {
    takes: { ...named, AsyncTriggerConfig: 'object!' },
    answer: (scene) => {
      const { RetryConfig: retries, MsgTTL: ttlSeconds } = scene.request['AsyncTriggerConfig'];
      if (!(ttlSeconds >= 60 && ttlSeconds <= 21_600)) {
        throw new ApiError('InvalidParameterValue.MsgTTL', 'MsgTTL must be 60 to 21600.');
      }
      activeFunctionOf(scene).retry = { retryNum: retries[0].RetryNum, ttlSeconds };
      return {};
    },
  },
  Invoke: {
    takes: {
      ...named,
      InvocationType: 'string',
      Qualifier: 'string',
      ClientContext: 'string',
      LogType: 'string',
    },
    answer: (scene) => {
      const fn = activeFunctionOf(scene);
      const requestId = randomUUID();
      const result = scene.state.run(fn, JSON.parse(scene.request['ClientContext'] ?? 'null'), requestId);
      writeLogs(scene, fn, requestId, result);
      const isSynchronous = scene.request['InvocationType'] !== 'Event';
      if (isSynchronous && fn.timeout > 300) {
        throw new ApiError('InvalidParameterValue.InvocationType', 'Synchronous calls end at 300 s.');
      }
      if (!isSynchronous) {
        scene.state.asyncRuns.set(requestId, {
          requestId,
          functionName: fn.name,
          startedMs: scene.nowMs,
          pollsLeft: 1,
          result,
        });
        return { Result: { FunctionRequestId: requestId } };
      }
      return {
        Result: {
          FunctionRequestId: requestId,
          InvokeResult: result.error === undefined ? 0 : 1,
          RetMsg: result.error === undefined ? returned(result) : '',
          ErrMsg: result.error === undefined ? '' : returned(result),
          Duration: 120,
          MemUsage: 60_000_000,
          Log: '',
        },
      };
    },
  },
  GetRequestStatus: {
    takes: { ...named, FunctionRequestId: 'string!', StartTime: 'string', EndTime: 'string' },
    answer: (scene) => {
      const run = scene.state.asyncRuns.get(scene.request['FunctionRequestId']);
      if (run === undefined) return { TotalCount: 0, Data: [] };
      const isRunning = run.pollsLeft > 0;
      run.pollsLeft -= 1;
      return {
        TotalCount: 1,
        Data: [
          {
            FunctionName: run.functionName,
            RequestId: run.requestId,
            StartTime: stamp(run.startedMs),
            RetCode: isRunning ? 1 : run.result.error === undefined ? 0 : -1,
            RetMsg: isRunning ? '' : returned(run.result),
            Duration: isRunning ? 0 : 120,
          },
        ],
      };
    },
  },
};
