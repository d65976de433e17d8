// Changing calls in order, each with its undoing. When one fails, or the person interrupts, what was done before is
// undone in reverse order, so that nothing half-made is left; what cannot be undone is named, with what to do about it.
import { BackupError, type Fault, messageOf } from '../errors.ts';
import { retry } from '../lib/retry.ts';
import type { Clock } from '../ports.ts';
import { ifThere } from './api-failure.ts';

export interface Undo {
  readonly title: string;
  /** What is left where it fails: `the function orders-backup`. */
  readonly left: string;
  /** How a person then removes it, or sets it back. */
  readonly byHand: string;
  /** May be repeated; finding nothing to undo is fine. */
  run(signal: AbortSignal): Promise<unknown>;
}

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
  /** Not there where the undoing of an earlier step takes it along, or nothing undoes it: then see `lasting`. */
  readonly undo?: Undo;
  /** What stays so once it is done, as a sentence, where nothing undoes it. */
  readonly lasting?: string;
}

export interface StepOptions {
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly onStep?: (title: string, state: 'begun' | 'done' | 'failed' | 'undoing' | 'undone') => void;
}

/** All undoing together. Long enough for SCF to make a function: it deletes none before. */
const UNDO_TIMEOUT_MS = 180_000;
const UNDO_ATTEMPTS = 5;

/**
 * Runs the steps. @throws BackupError `rule`: the first failure; its faults say what could not be undone, and how
 * to do it by hand.
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
      const isPerhapsDone = error instanceof BackupError && error.outcomeUnknown;
      if (isDone || isPerhapsDone) done.push(step);
      const lasting = done.flatMap((one): Fault[] => {
        if (one.lasting === undefined) return [];
        const how = one === step && !isDone ? 'perhaps, and not' : 'not';
        return [{ setting: one.title, text: `${how} undone: ${one.lasting}` }];
      });
      const left = [...lasting, ...(await undoAll(done, options.clock, onStep))];
      throw failed(step, error, done, left, signal);
    }
    onStep(step.title, 'done');
    done.push(step);
  }
}

/** Undoes in reverse order; answers what is left, a sentence each. */
async function undoAll(
  steps: readonly Step[],
  clock: Clock,
  onStep: NonNullable<StepOptions['onStep']>,
): Promise<Fault[]> {
  const signal = AbortSignal.timeout(UNDO_TIMEOUT_MS);
  const left: Fault[] = [];
  for (const { undo } of [...steps].reverse()) {
    if (undo === undefined) continue;
    onStep(undo.title, 'undoing');
    try {
      await retry(() => ifThere(undo.run(signal)), {
        ...{ clock, signal, attempts: UNDO_ATTEMPTS, baseDelayMs: 1_000 },
        // What may be repeated at once, the call has repeated itself.
        isWorthIt: (error) => error.outcomeUnknown && !error.retryable,
      });
      onStep(undo.title, 'undone');
    } catch (error) {
      onStep(undo.title, 'failed');
      const text = `left behind: ${undo.left} (${messageOf(error)}). By hand: ${undo.byHand}`;
      left.push({ setting: undo.title, text });
    }
  }
  return left;
}

function failed(
  step: Step,
  error: unknown,
  done: readonly Step[],
  left: readonly Fault[],
  signal: AbortSignal,
): BackupError {
  const cause = error instanceof BackupError ? error : undefined;
  const reason = signal.aborted ? 'interrupted' : messageOf(error);
  const after =
    left.length > 0
      ? '; not everything could be undone'
      : done.some((one) => one.undo !== undefined)
        ? '; what had been done is undone'
        : '';
  return new BackupError('rule', `cannot ${step.title}: ${reason}${after}`, {
    cause: error,
    faults: left,
    retryable: cause?.retryable ?? false,
    ...(cause?.hint === undefined || signal.aborted ? {} : { hint: cause.hint }),
    details: cause?.details ?? {},
  });
}
