// What is done with a rule once it is there: run it now, pause and resume its timer, delete it.
import { BackupError } from '../errors.ts';
import { parseTopicName } from '../topic-name.ts';
import { apiCode, type Cloud } from './cloud.ts';
import { deletionOf } from './function-steps.ts';
import type { Rule } from './rule.ts';
import { deleteRunRole, findRunRole } from './run-role.ts';
import type { Step } from './steps.ts';
import { findCluster } from './tdmq-lookup.ts';

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

/**
 * Invokes the rule's function and waits until the run has ended. @throws BackupError `rule` where SCF refuses to run it
 */
export async function invokeRule(cloud: Cloud, rule: Rule, signal: AbortSignal): Promise<Invocation> {
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
      if (!/Limit|Concurren/.test(apiCode(error)) || /^RequestLimit/.test(apiCode(error))) throw error;
      throw new BackupError('rule', `SCF does not start ${rule.functionName}: its one instance is busy`, {
        cause: error,
        hint: 'A run is under way: see `tdmq-backup rule logs`, or try again when it has ended.',
      });
    }
  };
  if (rule.timeoutSeconds <= SYNCHRONOUS_SECONDS) {
    const result = await invoke('RequestResponse', rule.timeoutSeconds + ANSWER_MARGIN_SECONDS);
    const hasFailed = result.InvokeResult !== 0 || Boolean(result.ErrMsg);
    return {
      requestId: result.FunctionRequestId ?? '',
      result: hasFailed ? 'failed' : 'ok',
      summary: hasFailed ? undefined : parse(result.RetMsg),
      error: hasFailed ? errorText(result.ErrMsg || result.RetMsg) : undefined,
      durationMs: result.Duration,
    };
  }
  const { FunctionRequestId: requestId = '' } = await invoke('Event', 30);
  return await waitForRun(cloud, rule, requestId, signal);
}

/** Long runs are started and then asked about. */
async function waitForRun(
  cloud: Cloud,
  rule: Rule,
  requestId: string,
  signal: AbortSignal,
): Promise<Invocation> {
  const endMs = cloud.clock.now() + (rule.timeoutSeconds + 60) * 1_000;
  for (let delayMs = 500; ; delayMs = Math.min(5_000, delayMs * 2)) {
    await cloud.clock.sleep(delayMs, signal);
    const { Data: found } = await cloud.call(
      'scf',
      'GetRequestStatus',
      { FunctionName: rule.functionName, FunctionRequestId: requestId },
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
      throw new BackupError('rule', `SCF does not tell how run ${requestId} ended`, {
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

/** SCF wraps what a function throws in JSON of its own. */
function errorText(text: string | undefined): string {
  const parsed = parse(text) as { errorMessage?: unknown } | string | null;
  if (typeof parsed === 'object' && typeof parsed?.errorMessage === 'string') return parsed.errorMessage;
  return text || 'SCF gives no reason';
}

/** Switches every timer of the rule on or off. @throws BackupError `rule` where it has none */
export async function setTimers(cloud: Cloud, rule: Rule, isOn: boolean): Promise<void> {
  if (rule.timers.length === 0) {
    throw new BackupError('rule', `the function ${rule.functionName} has no timer`, {
      hint: 'Make one in the SCF console, or deploy serverless.yml again.',
    });
  }
  for (const timer of rule.timers.filter((one) => one.isOn !== isOn)) {
    await cloud.call('scf', 'UpdateTriggerStatus', {
      FunctionName: rule.functionName,
      TriggerName: timer.name,
      Type: 'timer',
      Qualifier: timer.qualifier,
      Enable: isOn ? 'OPEN' : 'CLOSE',
    });
  }
}

export interface DeleteOptions {
  readonly subscription: boolean;
  readonly runRole: boolean;
  /** Removed by rule-objects.ts once the steps are done. */
  readonly objects: boolean;
}

/** What deleting a rule amounts to. Nothing of it can be undone. */
export async function planDelete(cloud: Cloud, rule: Rule, options: DeleteOptions): Promise<Step[]> {
  const steps: Step[] = [
    {
      title: `delete the function ${rule.functionName} with its timer`,
      call: 'scf:DeleteFunction',
      request: { FunctionName: rule.functionName },
      run: (signal) => cloud.call('scf', 'DeleteFunction', { FunctionName: rule.functionName }, { signal }),
    },
  ];
  if (options.subscription) {
    const topic = parseTopicName(rule.environment['PULSAR_TOPIC'] ?? '');
    const cluster = topic && (await findCluster(cloud, rule.environment['TDMQ_CLUSTER_ID'] ?? topic.tenant));
    if (topic !== undefined && cluster !== undefined) {
      const name = rule.environment['PULSAR_SUBSCRIPTION'] ?? '';
      const where = { ClusterId: cluster.id, EnvironmentId: topic.namespace, TopicName: topic.topic };
      const deletion = deletionOf(cloud, where, name);
      steps.push({
        ...deletion,
        call: 'tdmq:DeleteSubscriptions',
        request: { ...where, SubscriptionName: name },
      });
    }
  }
  if (options.runRole && rule.runRole !== undefined) {
    const role = await findRunRole(cloud, rule.runRole);
    if (role !== undefined && !role.isOurs) {
      throw new BackupError('rule', `the run role ${rule.runRole} was not made by tdmq-backup`, {
        hint: 'Leave --delete-run-role out, and delete the role in the CAM console if nothing else uses it.',
      });
    }
    if (role !== undefined) steps.push(...(await deleteRunRole(cloud, rule.runRole)));
  }
  return steps;
}

/** What stays when a rule is deleted, as sentences. */
export function whatRemains(rule: Rule, options: DeleteOptions): string[] {
  const { COS_BUCKET: bucket, COS_PREFIX: prefix = '', PULSAR_SUBSCRIPTION: name } = rule.environment;
  const remains = options.objects
    ? []
    : [`the stored objects under ${bucket}/${prefix} (--delete-objects removes those of this rule)`];
  if (!options.subscription) {
    remains.push(
      `the subscription ${name}, which goes on collecting messages (--delete-subscription deletes it)`,
    );
  }
  if (!options.runRole && rule.runRole !== undefined) remains.push(`the run role ${rule.runRole}`);
  if (rule.cls !== undefined) remains.push(`the log topic ${rule.cls.topicId}`);
  return remains;
}
