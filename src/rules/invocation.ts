// Runs a rule's function now and waits for what becomes of it.
import { BackupError } from '../errors.ts';
import { apiCode } from './api-failure.ts';
import type { Cloud } from './cloud.ts';
import { formatScfTime, type Rule } from './rule.ts';

export interface Invocation {
  readonly requestId: string;
  readonly result: 'ok' | 'failed';
  /** What the function returned: the summary of the run. */
  readonly summary: unknown;
  readonly error: string | undefined;
  readonly durationMs: number | undefined;
}

/** The API waits for a function no longer than this. */
const SYNCHRONOUS_SECONDS = 300;
const ANSWER_MARGIN_SECONDS = 15;
/** How far this machine's clock may be off. */
const CLOCK_SKEW_MS = 10 * 60_000;

/**
 * Invokes the rule's function and waits until the run has ended; it does not end with the signal. A long run's id is
 * reported as soon as it has begun. @throws BackupError `rule` where SCF refuses to run it
 */
export async function invokeRule(
  cloud: Cloud,
  rule: Rule,
  signal: AbortSignal,
  onBegun: (requestId: string) => void,
): Promise<Invocation> {
  const event = JSON.stringify({ Type: 'Manual', TriggerName: 'tdmq-backup rule run' });
  const invoke = async (InvocationType: string, timeoutSeconds: number) => {
    try {
      const { Result: result } = await cloud.call(
        'scf',
        'Invoke',
        { FunctionName: rule.functionName, InvocationType, ClientContext: event, LogType: 'None' },
        { signal, timeoutSeconds },
      );
      return result ?? {};
    } catch (error) {
      if (!isBusyCode(apiCode(error))) throw error;
      throw new BackupError('rule', `SCF does not start ${rule.functionName}: its one instance is busy`, {
        cause: error,
        hint: 'A run is under way: see `tdmq-backup rule logs`, or try again when it has ended.',
      });
    }
  };
  if (rule.timeoutSeconds <= SYNCHRONOUS_SECONDS) {
    const result = await invoke('RequestResponse', rule.timeoutSeconds + ANSWER_MARGIN_SECONDS);
    // InvokeResult is not maintained any more, by the API's own model: what the function threw decides.
    const summary = parse(result.RetMsg);
    const error = result.ErrMsg ? errorText(result.ErrMsg) : missingSummary(summary);
    return {
      requestId: result.FunctionRequestId ?? '',
      result: error === undefined ? 'ok' : 'failed',
      summary: error === undefined ? summary : undefined,
      error,
      durationMs: result.Duration,
    };
  }
  const { FunctionRequestId: requestId = '' } = await invoke('Event', 30);
  onBegun(requestId);
  return await waitForRun(cloud, rule, requestId, signal);
}

const isBusyCode = (code: string) => /Limit|Concurren/.test(code) && !/^RequestLimit/.test(code);

/** Whether SCF did not start the run because the function's instances are busy. */
export const isBusy = (error: unknown): boolean =>
  error instanceof BackupError && isBusyCode(apiCode(error.cause));

/** Long runs are started and then asked about. */
async function waitForRun(
  cloud: Cloud,
  rule: Rule,
  requestId: string,
  signal: AbortSignal,
): Promise<Invocation> {
  const startMs = cloud.clock.now();
  const endMs = startMs + (rule.timeoutSeconds + 60) * 1_000;
  for (let delayMs = 500; ; delayMs = Math.min(5_000, delayMs * 2)) {
    await cloud.clock.sleep(delayMs, signal);
    const { Data: found } = await cloud.call(
      'scf',
      'GetRequestStatus',
      {
        FunctionName: rule.functionName,
        FunctionRequestId: requestId,
        // By default it looks back a quarter of an hour, which is less than a run may take.
        StartTime: formatScfTime(startMs - CLOCK_SKEW_MS),
        EndTime: formatScfTime(endMs + CLOCK_SKEW_MS),
      },
      { signal },
    );
    const status = found?.[0];
    if (status !== undefined && status.RetCode !== 1) {
      const hasFailed = status.RetCode !== 0;
      return {
        requestId,
        result: hasFailed ? 'failed' : 'ok',
        summary: hasFailed ? undefined : parse(status.RetMsg),
        error: hasFailed ? errorText(status.RetMsg) : undefined,
        durationMs: status.Duration,
      };
    }
    if (cloud.clock.now() > endMs) {
      throw new BackupError('rule', `SCF does not report how run ${requestId} ended`, {
        hint: `See its lines: tdmq-backup rule logs ${rule.name} --request ${requestId}`,
      });
    }
  }
}

function parse(text: string | undefined): unknown {
  try {
    return JSON.parse(text ?? 'null');
  } catch {
    return text;
  }
}

/** A run that ended well has returned its summary; nothing else proves that it did. */
const missingSummary = (summary: unknown) =>
  typeof summary === 'object' && summary !== null ? undefined : 'the function returned no summary of a run';

/** SCF wraps what a function throws in JSON of its own. */
function errorText(text: string | undefined): string {
  const parsed = parse(text) as { errorMessage?: unknown } | string | null;
  if (typeof parsed === 'object' && typeof parsed?.errorMessage === 'string') return parsed.errorMessage;
  return text || 'SCF gives no reason';
}
