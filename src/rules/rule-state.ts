// How a rule is, in one of seven words, and why: from its timer, its last runs and what the TDMQ API says of its
// source. Reads only; what cannot be asked is left open rather than guessed.
import { BackupError, messageOf } from '../errors.ts';
import { parseTopicName } from '../topic-name.ts';
import type { Cloud } from './cloud.ts';
import { parseScfTime, type Rule } from './rule.ts';
import { type RunRecord, readRuns } from './run-history.ts';
import {
  findCluster,
  findSubscription,
  listedTopic,
  listNamespaces,
  listTopics,
  type Subscription,
} from './tdmq-lookup.ts';

export type StateName =
  | 'active'
  | 'paused'
  | 'permission denied'
  | 'source missing'
  | 'bucket missing'
  | 'failing'
  | 'falling behind';

export interface RuleState {
  readonly state: StateName;
  /** Why it is not simply active; a sentence for a person. */
  readonly reason: string | undefined;
  readonly lastRun: RunRecord | undefined;
  readonly lastSuccess: RunRecord | undefined;
  /** Messages that wait in the subscription. */
  readonly backlog: number | undefined;
  /** What could not be asked, and why. */
  readonly unknown: readonly string[];
}

const HISTORY_MS = 24 * 3_600_000;
const HISTORY_RUNS = 50;
/** Ticks that may be missed before a silent timer is called failing. */
const SILENT_TICKS = 3;

/** Looks at everything that can be seen of a rule. */
export async function readState(cloud: Cloud, rule: Rule): Promise<RuleState> {
  const unknown: string[] = [];
  const attempt = async <T>(what: string, look: () => Promise<T>): Promise<T | undefined> => {
    try {
      return await look();
    } catch (error) {
      const hint = error instanceof BackupError && error.hint !== undefined ? ` → ${error.hint}` : '';
      unknown.push(`${what}: ${messageOf(error)}${hint}`);
      return undefined;
    }
  };
  const nowMs = cloud.clock.now();
  const runs =
    rule.cls === undefined
      ? undefined
      : await attempt('runs', () =>
          readRuns(cloud, rule, { fromMs: nowMs - HISTORY_MS, limit: HISTORY_RUNS }),
        );
  if (rule.cls === undefined) unknown.push('runs: the function writes no logs to CLS');
  const source = await attempt('source', () => lookAtSource(cloud, rule));
  const { state, reason } = judge(rule, runs, source, nowMs);
  return {
    state,
    reason,
    lastRun: runs?.[0],
    lastSuccess: runs?.find((run) => run.result === 'ok'),
    backlog: source?.subscription?.backlog ?? runs?.[0]?.backlog,
    unknown,
  };
}

interface SourceView {
  /** A sentence where something of it is not there. */
  readonly missing: string | undefined;
  readonly subscription: Subscription | undefined;
  readonly ttlSeconds: number | undefined;
}

async function lookAtSource(cloud: Cloud, rule: Rule): Promise<SourceView> {
  const topic = parseTopicName(rule.environment['PULSAR_TOPIC'] ?? '');
  const subscription = rule.environment['PULSAR_SUBSCRIPTION'] ?? '';
  const missing = (what: string): SourceView => ({
    missing: what,
    subscription: undefined,
    ttlSeconds: undefined,
  });
  if (topic === undefined) return missing('PULSAR_TOPIC is not set');
  const clusterId = rule.environment['TDMQ_CLUSTER_ID'] ?? topic.tenant;
  const cluster = await findCluster(cloud, clusterId);
  if (cluster === undefined) return missing(`cluster ${clusterId} is not in ${cloud.region}`);
  if (!cluster.isNormal) return missing(`cluster ${cluster.id} is not in its normal state`);
  const namespace = (await listNamespaces(cloud, cluster.id)).find((one) => one.name === topic.namespace);
  if (namespace === undefined) return missing(`namespace ${topic.namespace} does not exist`);
  const short = listedTopic(topic.topic);
  const topics = await listTopics(cloud, cluster.id, topic.namespace, short);
  const name = [topic.topic, short].find((one) => topics.some((found) => found.name === one));
  if (name === undefined) return missing(`topic ${topic.topic} does not exist`);
  const found = await findSubscription(cloud, cluster.id, topic.namespace, name, subscription);
  return { missing: undefined, subscription: found, ttlSeconds: namespace.ttlSeconds };
}

function judge(
  rule: Rule,
  runs: readonly RunRecord[] | undefined,
  source: SourceView | undefined,
  nowMs: number,
): { state: StateName; reason: string | undefined } {
  const last = runs?.[0];
  if (!rule.timers.some((timer) => timer.isOn)) {
    return {
      state: 'paused',
      reason: rule.timers.length === 0 ? 'the function has no timer' : 'the timer is off',
    };
  }
  if (/Failed$/.test(rule.status)) {
    return { state: 'failing', reason: rule.statusReason ?? `SCF says ${rule.status}` };
  }
  if (source?.missing !== undefined) return { state: 'source missing', reason: source.missing };
  if (last?.result === 'failed') {
    const text = `${last.error ?? ''} ${last.errorDetail ?? ''}`;
    return { state: failureState(text), reason: last.error ?? 'the last run failed' };
  }
  if (source !== undefined && source.subscription === undefined && last !== undefined) {
    return {
      state: 'source missing',
      reason: `subscription ${rule.environment['PULSAR_SUBSCRIPTION']} does not exist any more`,
    };
  }
  const silent = silence(rule, last, runs, nowMs);
  if (silent !== undefined) return { state: 'failing', reason: silent };
  const behind = fallingBehind(runs ?? [], source?.ttlSeconds, nowMs);
  return behind === undefined
    ? { state: 'active', reason: undefined }
    : { state: 'falling behind', reason: behind };
}

/** The word for a failed run, by the words of the services in its error. */
function failureState(text: string): StateName {
  if (/NoSuchBucket|bucket .*(not exist|missing|no such)/i.test(text)) return 'bucket missing';
  if (
    /AccessDenied|Unauthori[sz]ed|Authori[sz]ationError|AuthenticationError|AuthFailure|InvalidAccessKey|\b40[13]\b|permission|not allowed|forbidden/i.test(
      text,
    )
  ) {
    return 'permission denied';
  }
  if (
    /(Topic|Namespace|Subscription|Cluster)NotFound|no TDMQ role|no cluster|topic .*(not exist|not found|no such)/i.test(
      text,
    )
  ) {
    return 'source missing';
  }
  return 'failing';
}

function silence(
  rule: Rule,
  last: RunRecord | undefined,
  runs: readonly RunRecord[] | undefined,
  nowMs: number,
): string | undefined {
  if (runs === undefined) return undefined;
  const intervalMs = Number(rule.environment['RUN_INTERVAL_MINUTES'] ?? 5) * 60_000;
  const changedMs = parseScfTime(rule.modifiedAt ?? rule.createdAt ?? '') || 0;
  const sinceMs = Math.max(last?.endedAtMs ?? 0, changedMs);
  const allowedMs = SILENT_TICKS * intervalMs + rule.timeoutSeconds * 1_000;
  if (nowMs - sinceMs <= allowedMs) return undefined;
  return last === undefined
    ? 'the timer is on, but no run has left a log line within a day'
    : `the timer is on, but there was no run for ${Math.round((nowMs - last.endedAtMs) / 60_000)} minutes`;
}

function fallingBehind(
  runs: readonly RunRecord[],
  ttlSeconds: number | undefined,
  nowMs: number,
): string | undefined {
  const [a, b, c] = runs;
  if (ttlSeconds && a?.oldestWaitingMs !== undefined && nowMs - a.oldestWaitingMs > ttlSeconds * 500) {
    const hours = ((nowMs - a.oldestWaitingMs) / 3_600_000).toFixed(1);
    return `the oldest waiting message is ${hours} h old, and the namespace drops messages after ${ttlSeconds / 3600} h`;
  }
  if (a?.stopReason === 'deadline' && b?.stopReason === 'deadline') {
    return 'the last two runs ended at their time limit with messages left; give it more time, memory, or use failover';
  }
  if (a?.backlog !== undefined && b?.backlog !== undefined && c?.backlog !== undefined) {
    if (a.backlog > b.backlog && b.backlog > c.backlog && a.messages > 0) {
      return `the backlog grows from run to run, to ${a.backlog}`;
    }
  }
  return undefined;
}
