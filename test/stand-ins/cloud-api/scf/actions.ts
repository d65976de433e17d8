// SCF API 2018-04-16: functions, timers, reserved concurrency, retry policy, invocations. Functions are kept, not run.
import type { Action } from '../action.ts';
import { executionActions } from './execution-actions.ts';
import { functionActions } from './function-actions.ts';
import { invokeActions } from './invoke-actions.ts';
import { timerActions } from './timer-actions.ts';

export const scfActions: Readonly<Record<string, Action>> = {
  ...functionActions,
  ...timerActions,
  ...executionActions,
  ...invokeActions,
};
