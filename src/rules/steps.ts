// Changing calls in order, each with its undoing. When one fails, or the person interrupts, what was done before is
// undone in reverse order, so that nothing half-made is left.
import { BackupError, messageOf } from '../errors.ts';
import { type Cloud, isNotFound } from './cloud.ts';

export interface Step {
  /** For a person: `create the function orders-backup`. */
  readonly title: string;
  /** `service:Action` */
  readonly call: string;
  /** The parameters as they may be shown: without secrets and code. */
  readonly request: Readonly<Record<string, unknown>>;
  run(signal: AbortSignal): Promise<unknown>;
  /** Waits until what the call began is complete. */
  settle?(signal: AbortSignal): Promise<void>;
  /** Not there where a step changes nothing that must be undone, or cannot be. */
  readonly undo?: { readonly title: string; run(signal: AbortSignal): Promise<unknown> };
}

export interface StepOptions {
  readonly signal: AbortSignal;
  readonly onStep?: (title: string, state: 'begun' | 'done' | 'failed' | 'undoing' | 'undone') => void;
}

/** All undoing together; a person who pressed Ctrl-C waits for it. */
const UNDO_TIMEOUT_MS = 60_000;

/**
 * Runs the steps. @throws BackupError `rule`: the first failure, with what was undone and what could not be.
 */
export async function runSteps(steps: readonly Step[], options: StepOptions): Promise<void> {
  const { signal, onStep = () => {} } = options;
  // A call under way is never cut off: the cloud might do it after it was undone. Ctrl-C waits for its answer.
  const patient = new AbortController().signal;
  const done: Step[] = [];
  for (const step of steps) {
    onStep(step.title, 'begun');
    let isDone = false;
    try {
      signal.throwIfAborted();
      await step.run(patient);
      isDone = true;
      await step.settle?.(signal);
      signal.throwIfAborted();
    } catch (error) {
      onStep(step.title, 'failed');
      // What the API refused was not done, and undoing it could hit what somebody else has made under that name.
      if (isDone || (error instanceof BackupError && error.outcomeUnknown)) done.push(step);
      const left = await undoAll(done, onStep);
      throw failed(step, error, done, left, signal);
    }
    onStep(step.title, 'done');
    done.push(step);
  }
}

/** Undoes in reverse order; answers what could not be undone. */
async function undoAll(
  steps: readonly Step[],
  onStep: NonNullable<StepOptions['onStep']>,
): Promise<string[]> {
  const signal = AbortSignal.timeout(UNDO_TIMEOUT_MS);
  const left: string[] = [];
  for (const { undo } of [...steps].reverse()) {
    if (undo === undefined) continue;
    onStep(undo.title, 'undoing');
    try {
      await undo.run(signal);
      onStep(undo.title, 'undone');
    } catch (error) {
      if (isNotFound(error)) continue;
      left.push(`${undo.title} (${messageOf(error)})`);
      onStep(undo.title, 'failed');
    }
  }
  return left;
}

function failed(
  step: Step,
  error: unknown,
  done: readonly Step[],
  left: string[],
  signal: AbortSignal,
): BackupError {
  const cause = error instanceof BackupError ? error : undefined;
  const reason = signal.aborted ? 'interrupted' : messageOf(error);
  const after =
    left.length > 0
      ? `; not everything could be undone: ${left.join('; ')}`
      : done.some((one) => one.undo !== undefined)
        ? '; what had been done is undone'
        : '';
  return new BackupError('rule', `cannot ${step.title}: ${reason}${after}`, {
    cause: error,
    retryable: cause?.retryable ?? false,
    ...(left.length > 0
      ? { hint: `Do this by hand: ${left.join('; ')}.${cause?.hint ? ` ${cause.hint}` : ''}` }
      : cause?.hint === undefined
        ? {}
        : { hint: cause.hint }),
    details: cause?.details ?? {},
  });
}

const ACTIVE_TIMEOUT_MS = 180_000;

/** Waits until SCF has made or changed the function. @throws BackupError `rule` with SCF's reason, or after 3 minutes */
export async function waitUntilActive(
  cloud: Cloud,
  functionName: string,
  signal?: AbortSignal,
): Promise<void> {
  const endMs = cloud.clock.now() + ACTIVE_TIMEOUT_MS;
  for (let delayMs = 100; ; delayMs = Math.min(2_000, delayMs * 2)) {
    const fn = await cloud.call('scf', 'GetFunction', { FunctionName: functionName }, { signal });
    if (fn.Status === 'Active') return;
    if (/Failed$/.test(fn.Status ?? '')) {
      const reason = fn.StatusReasons?.[0]?.ErrorMessage || fn.StatusDesc || 'SCF gives no reason';
      throw new BackupError('rule', `SCF says ${fn.Status} for ${functionName}: ${reason}`, {
        hint: 'The console’s function page shows more. Often the subnet has no free address, or the role is not usable.',
      });
    }
    if (cloud.clock.now() >= endMs) {
      throw new BackupError('rule', `the function ${functionName} is still ${fn.Status} after 3 minutes`, {
        hint: 'Look at the function in the SCF console and try again.',
      });
    }
    await cloud.clock.sleep(delayMs, signal);
  }
}
