// Looks at everything that can be seen of a rule, and has it judged. Reads only.
import type { RuleSettings } from '../config.ts';
import { BackupError, messageOf } from '../errors.ts';
import { parseTopicName } from '../topic-name.ts';
import { type BucketAccess, lookAtBucket } from './bucket-lookup.ts';
import type { Cloud } from './cloud.ts';
import { type Fault, judge, type Outcome } from './outcome.ts';
import { checkSettings, type Rule } from './rule.ts';
import { type RunRecord, readRuns } from './run-history.ts';
import { instancesOf } from './schedule.ts';
import { findSource, listedTopic, type Subscription } from './tdmq-lookup.ts';

export interface RuleState extends Outcome {
  /** Whether it ever ran within a day, where its logs can be asked. */
  readonly hasRun: boolean | undefined;
  readonly lastRun: RunRecord | undefined;
  /** The last run that drained its subscription. */
  readonly lastSuccess: RunRecord | undefined;
  /** Messages that wait in the subscription, besides those that linger. */
  readonly backlog: number | undefined;
  /** Messages that the last tick left there until they are old enough for a file. */
  readonly lingering: number | undefined;
  /** What could not be asked, and why. */
  readonly unknown: readonly string[];
}

const HISTORY_MS = 24 * 3_600_000;
/** A day of ticks of five minutes, of one instance. */
const HISTORY_RUNS = 300;

/** How a rule is. What cannot be asked is named, not thrown. */
export async function readState(cloud: Cloud, rule: Rule, access: BucketAccess): Promise<RuleState> {
  const unknown: string[] = [];
  const attempt = async <T>(what: string, look: () => Promise<T>): Promise<T | undefined> => {
    try {
      return await look();
    } catch (error) {
      access.signal.throwIfAborted();
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
          readRuns(cloud, rule, {
            fromMs: nowMs - HISTORY_MS,
            limit: HISTORY_RUNS * Math.max(1, instancesOf(rule)),
          }),
        );
  if (rule.cls === undefined) {
    const how = `tdmq-backup rule edit ${rule.name} --cls-logset ID --cls-topic ID`;
    unknown.push(`runs: SCF names no CLS topic of the function → ${how}`);
  }
  const hasRun = runs !== undefined && runs.length > 0;
  const source = await attempt('source', () => lookAtSource(cloud, rule, hasRun));
  const settings = settingsOf(rule);
  const bucket =
    settings.config && (await attempt('bucket', () => bucketOf(rule, settings.config.cos, access)));
  const lingering = runs && lingeringOf(rule, runs);
  if (bucket?.unknown !== undefined) unknown.push(`bucket: ${bucket.unknown}`);
  return {
    ...judge({
      ...{ rule, nowMs, runs },
      settings: settings.fault ?? 'fine',
      source: source && (source.fault ?? 'fine'),
      ttlSeconds: source?.ttlSeconds,
      bucket: bucket?.fault ?? (bucket?.unknown === undefined ? 'fine' : undefined),
    }),
    hasRun: runs && runs.length > 0,
    lastRun: runs?.[0],
    lastSuccess: runs?.find((run) => run.result === 'ok' && run.stopReason !== 'busy'),
    backlog: backlogOf(source?.subscription, lingering) ?? runs?.[0]?.backlog,
    lingering,
    unknown,
  };
}

/** What the runs of the last tick left: each instance that of its own partitions. */
function lingeringOf(rule: Rule, runs: readonly RunRecord[]): number | undefined {
  const left = runs.slice(0, Math.max(1, instancesOf(rule))).flatMap((run) => run.lingering ?? []);
  return left.length === 0 ? undefined : left.reduce((sum, { messages }) => sum + messages, 0);
}

/** TDMQ counts what lingers, too. */
const backlogOf = (subscription: Subscription | undefined, lingering = 0): number | undefined =>
  subscription?.backlog === undefined ? undefined : Math.max(0, subscription.backlog - lingering);

interface SourceView {
  readonly fault?: Fault;
  readonly subscription?: Subscription | undefined;
  readonly ttlSeconds?: number | undefined;
}

async function lookAtSource(cloud: Cloud, rule: Rule, hasRun: boolean): Promise<SourceView> {
  const { environment, name } = rule;
  const topic = parseTopicName(environment['PULSAR_TOPIC'] ?? '');
  const subscription = environment['PULSAR_SUBSCRIPTION'] ?? '';
  const missing = (reason: string, hint: string): SourceView => ({ fault: { reason, hint } });
  if (topic === undefined) return {};
  const clusterId = environment['TDMQ_CLUSTER_ID'] ?? topic.tenant;
  const { cluster, ...found } = await findSource(cloud, {
    ...{ clusterId, namespace: topic.namespace, subscription },
    topic: listedTopic(topic.topic),
  });
  const elsewhere = `Point the rule to where the topic is (tdmq-backup rule edit ${name} --cluster … --topic …), or delete it.`;
  if (cluster === undefined) return missing(`cluster ${clusterId} is not in ${cloud.region}`, elsewhere);
  if (!cluster.isNormal) {
    const hint = 'See the cluster in the TDMQ console: it may be isolated for arrears, or still being made.';
    return missing(`cluster ${cluster.id} is not in its normal state`, hint);
  }
  if (found.namespace === undefined) {
    return missing(`namespace ${topic.namespace} does not exist`, elsewhere);
  }
  if (found.topic === undefined) return missing(`topic ${topic.topic} does not exist`, elsewhere);
  if (found.subscription === undefined && hasRun) {
    return missing(
      `subscription ${subscription} does not exist any more`,
      'The next run makes it again. Ask who deleted it: what was published in between may be missing from the archive.',
    );
  }
  return { subscription: found.subscription, ttlSeconds: found.namespace.ttlSeconds };
}

function settingsOf(rule: Rule): { config: RuleSettings; fault?: never } | { config?: never; fault: Fault } {
  try {
    return { config: checkSettings(rule.environment, rule.functionName, rule.region) };
  } catch (error) {
    if (!(error instanceof BackupError)) throw error;
    const hint = `Correct them: tdmq-backup rule edit ${rule.name} --set NAME=VALUE, or --unset NAME.`;
    return { fault: { reason: error.message, hint } };
  }
}

async function bucketOf(
  rule: Rule,
  cos: RuleSettings['cos'],
  access: BucketAccess,
): Promise<{ fault?: Fault; unknown?: string }> {
  const view = await lookAtBucket(cos, access);
  if (view.kind === 'there') return {};
  if (view.kind === 'unknown') return { unknown: view.reason };
  const hint = `Create the bucket again, or name another: tdmq-backup rule edit ${rule.name} --bucket …`;
  return { fault: { reason: view.reason, hint } };
}
