// A function that SCF is making or changing, and what has to wait for it.
import { BackupError } from '../errors.ts';
import { apiCode, ifThere } from './api-failure.ts';
import type { ApiResponse, Cloud } from './cloud.ts';

const ACTIVE_TIMEOUT_MS = 180_000;

/** Waits while SCF makes or changes the function, and answers how it then is. @throws BackupError `rule` after 3 minutes */
export async function waitWhileChanging(
  cloud: Cloud,
  functionName: string,
  signal?: AbortSignal,
): Promise<ApiResponse<'scf', 'GetFunction'>> {
  const endMs = cloud.clock.now() + ACTIVE_TIMEOUT_MS;
  for (let delayMs = 100; ; delayMs = Math.min(2_000, delayMs * 2)) {
    const fn = await cloud.call('scf', 'GetFunction', { FunctionName: functionName }, { signal });
    const status = fn.Status ?? '';
    if (status === 'Active' || /Failed$/.test(status)) return fn;
    if (cloud.clock.now() >= endMs) {
      throw new BackupError('rule', `the function ${functionName} is still ${status} after 3 minutes`, {
        hint: 'Look at the function in the SCF console and try again.',
      });
    }
    await cloud.clock.sleep(delayMs, signal);
  }
}

/** Waits until SCF has made or changed the function. @throws BackupError `rule` with SCF's reason, or after 3 minutes */
export async function waitUntilActive(
  cloud: Cloud,
  functionName: string,
  signal?: AbortSignal,
): Promise<void> {
  const fn = await waitWhileChanging(cloud, functionName, signal);
  if (fn.Status === 'Active') return;
  const reason = fn.StatusReasons?.[0]?.ErrorMessage || fn.StatusDesc || 'SCF gives no reason';
  throw new BackupError('rule', `SCF says ${fn.Status} for ${functionName}: ${reason}`, {
    hint: 'The console’s function page shows more. Often the subnet has no free address, or the role is not usable.',
  });
}

/** Deletes the function, as soon as SCF is through with making or changing it. A missing one is fine. */
export async function deleteFunction(cloud: Cloud, functionName: string, signal: AbortSignal): Promise<void> {
  const remove = () => cloud.call('scf', 'DeleteFunction', { FunctionName: functionName }, { signal });
  const work = remove().catch(async (error: unknown) => {
    if (!/FunctionStatusError/.test(apiCode(error))) throw error;
    await waitWhileChanging(cloud, functionName, signal);
    return await remove();
  });
  await ifThere(work);
}
