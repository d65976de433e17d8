// How a function is executed: reserved concurrency, and what becomes of asynchronous runs that fail.
import type { Action } from '../action.ts';
import { ApiError } from '../api-error.ts';
import { activeFunctionOf, functionOf, named } from './function.ts';

export const executionActions: Readonly<Record<string, Action>> = {
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
  GetFunctionEventInvokeConfig: {
    takes: { ...named, Qualifier: 'string' },
    answer: (scene) => {
      const { retryNum, ttlSeconds } = functionOf(scene).retry;
      return { AsyncTriggerConfig: { RetryConfig: [{ RetryNum: retryNum }], MsgTTL: ttlSeconds } };
    },
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
};
