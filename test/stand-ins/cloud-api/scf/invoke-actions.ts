// Invocations. No function runs here: an invocation does what the state's `run` says.
import { randomUUID } from 'node:crypto';
import type { Action, Scene } from '../action.ts';
import { ApiError } from '../api-error.ts';
import type { RunResult, ScfFunction } from '../state.ts';
import { activeFunctionOf, named, stamp } from './function.ts';

/** How far back an invocation is looked for where no StartTime is given. */
const STATUS_WINDOW_MS = 15 * 60_000;

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

export const invokeActions: Readonly<Record<string, Action>> = {
  Invoke: {
    takes: {
      ...named,
      InvocationType: 'string',
      Qualifier: 'string',
      ClientContext: 'string',
      LogType: 'string',
    },
    answer: async (scene) => {
      const fn = activeFunctionOf(scene);
      const requestId = randomUUID();
      const result = await scene.state.run(
        fn,
        JSON.parse(scene.request['ClientContext'] ?? 'null'),
        requestId,
      );
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
          // InvokeResult is in the model, and not maintained any more.
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
      const startedAfter = scene.request['StartTime'] ?? stamp(scene.nowMs - STATUS_WINDOW_MS);
      if (run === undefined || stamp(run.startedMs) < startedAfter) return { TotalCount: 0, Data: [] };
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
