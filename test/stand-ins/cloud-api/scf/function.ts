// A function as the calls about it see it: found by name, refused while it is being made or changed.
import type { Scene } from '../action.ts';
import { ApiError } from '../api-error.ts';
import type { ScfFunction } from '../state.ts';

/** Parameters that name a function. */
export const named = { FunctionName: 'string!', Namespace: 'string' } as const;

/** SCF reports times in China's zone, without saying so. */
export const stamp = (ms: number) =>
  new Date(ms + 8 * 3_600_000).toISOString().slice(0, 19).replace('T', ' ');

/** @throws ApiError where the region has no such function */
export function functionOf({ request, state, region }: Scene): ScfFunction {
  const fn = state.functions.get(request['FunctionName']);
  if (fn === undefined || fn.region !== region) {
    throw new ApiError('ResourceNotFound.Function', 'The function does not exist.');
  }
  return fn;
}

/** Most calls are refused while the function is being made or changed. */
export function activeFunctionOf(scene: Scene): ScfFunction {
  const fn = functionOf(scene);
  if (fn.status !== 'Active') {
    throw new ApiError('FailedOperation.FunctionStatusError', `The function is ${fn.status}.`);
  }
  return fn;
}

/** The function takes on a change, which takes a while. */
export function touch(fn: ScfFunction, scene: Scene): void {
  fn.modTime = stamp(scene.nowMs);
  if (scene.state.pollsUntilActive > 0) {
    fn.status = fn.status === 'Creating' ? 'Creating' : 'Updating';
    fn.pollsLeft = scene.state.pollsUntilActive;
  }
}
