// Functions: made, changed, looked at, listed, deleted.
import { type Action, page } from '../action.ts';
import { ApiError } from '../api-error.ts';
import type { ScfFunction, Tag } from '../state.ts';
import { activeFunctionOf, functionOf, named, stamp, touch } from './function.ts';
import { checkSettings, environmentOf, settings, zipOf } from './settings.ts';
import { describeTrigger } from './timer-actions.ts';

export const functionActions: Readonly<Record<string, Action>> = {
  CreateFunction: {
    takes: {
      ...settings,
      Code: 'object!',
      Handler: 'string',
      Runtime: 'string',
      Type: 'string',
      DeployMode: 'string',
      CodeSource: 'string',
      Tags: 'array',
      InstallDependency: 'string',
      AutoCreateClsTopic: 'string',
      AutoDeployClsTopicIndex: 'string',
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
      if (request['ClsTopicId'] === '') fn.cls = undefined;
      else if (request['ClsTopicId'] !== undefined) {
        fn.cls = { logsetId: request['ClsLogsetId'] ?? '', topicId: request['ClsTopicId'] };
      }
      touch(fn, scene);
      return {};
    },
  },
  UpdateFunctionCode: {
    takes: {
      ...named,
      ZipFile: 'string',
      Code: 'object',
      CodeSource: 'string',
      Handler: 'string',
      InstallDependency: 'string',
    },
    answer: (scene) => {
      const fn = activeFunctionOf(scene);
      fn.zip = zipOf(scene.request['Code'] ?? { ZipFile: scene.request['ZipFile'] });
      touch(fn, scene);
      return {};
    },
  },
  GetFunction: {
    takes: { ...named, Qualifier: 'string', ShowCode: 'string', ShowTriggers: 'string' },
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
  GetAlias: {
    takes: { ...named, Name: 'string!' },
    answer: (scene) => {
      functionOf(scene);
      return {
        Name: scene.request['Name'],
        FunctionVersion: '$LATEST',
        RoutingConfig: { AdditionalVersionWeights: [] },
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
      const fn = functionOf(scene);
      if (fn.status === 'Creating' || fn.status === 'Updating') {
        throw new ApiError('FailedOperation.FunctionStatusError', `The function is ${fn.status}.`);
      }
      scene.state.functions.delete(fn.name);
      return {};
    },
  },
};
