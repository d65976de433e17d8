// In one of eight words how a rule is, why, and what to do about it: from what was seen of its timer, its settings, its
// last runs, its source and its bucket. Knows no API; what could not be seen is left open rather than guessed.
import type { Rule } from './rule.ts';
import { parseScfTime } from './rule.ts';
import type { RunRecord } from './run-history.ts';
import { instancesOf, intervalOf, MAX_INSTANCES } from './schedule.ts';

export type StateName =
  | 'active'
  | 'paused'
  | 'permission denied'
  | 'source missing'
  | 'bucket missing'
  | 'failing'
  | 'subscription moved'
  | 'falling behind';

export interface Outcome {
  readonly state: StateName;
  /** Why it is not simply active; a sentence for a person. */
  readonly reason: string | undefined;
  /** What the person should do. */
  readonly hint: string | undefined;
}

/** Something that is not there, or not as it must be. */
export interface Fault {
  readonly reason: string;
  readonly hint: string;
}

/** What was seen; `undefined` where it could not be looked at. */
export interface Sight {
  readonly rule: Rule;
  readonly nowMs: number;
  /** Of the last day, the newest first. */
  readonly runs: readonly RunRecord[] | undefined;
  readonly settings: Fault | 'fine';
  readonly source: Fault | 'fine' | undefined;
  /** Seconds after which the namespace drops unread messages. */
  readonly ttlSeconds: number | undefined;
  readonly bucket: Fault | 'fine' | undefined;
}

/** Ticks that may be missed before a silent timer is called failing. */
const SILENT_TICKS = 3;

/** The most telling thing goes first: what explains a failed run goes before the run. */
export function judge(sight: Sight): Outcome {
  const { rule } = sight;
  const timerOff = paused(rule);
  if (timerOff !== undefined) return { state: 'paused', ...timerOff };
  const seen: readonly (readonly [StateName, Fault | undefined])[] = [
    ['failing', brokenFunction(rule)],
    ['failing', faultOf(sight.settings)],
    ['source missing', faultOf(sight.source)],
    ['bucket missing', faultOf(sight.bucket)],
  ];
  for (const [state, fault] of seen) if (fault !== undefined) return { state, ...fault };
  const last = sight.runs?.[0];
  if (last?.result === 'failed') return failed(rule, last);
  const stalled = silent(sight) ?? locked(sight);
  if (stalled !== undefined) return { state: 'failing', ...stalled };
  const moved = subscriptionMoved(sight);
  if (moved !== undefined) return { state: 'subscription moved', ...moved };
  const behind = fallingBehind(sight);
  if (behind !== undefined) return { state: 'falling behind', ...behind };
  const reason =
    sight.runs?.length === 0 ? `no run yet; one begins every ${intervalOf(rule)} minutes` : undefined;
  return { state: 'active', reason, hint: undefined };
}

const faultOf = (seen: Fault | 'fine' | undefined) => (seen === 'fine' ? undefined : seen);

function paused(rule: Rule): Fault | undefined {
  if (rule.timers.length === 0) {
    const hint = `tdmq-backup rule edit ${rule.name} --instances 1 makes one; so does the SCF console, or serverless.yml deployed again.`;
    return { reason: 'the function has no timer', hint };
  }
  if (rule.timers.some((timer) => timer.isOn)) return undefined;
  const hint = `tdmq-backup rule resume ${rule.name} starts it again; messages wait in the subscription until then.`;
  return { reason: 'the timer is off', hint };
}

function brokenFunction(rule: Rule): Fault | undefined {
  if (!/Failed$/.test(rule.status)) return undefined;
  return {
    reason: rule.statusReason ?? `SCF says ${rule.status} of the function`,
    hint: `See the function ${rule.functionName} in the SCF console; often its subnet has no free address, or its role is gone.`,
  };
}

/** What the services say when they refuse, by the names that they have for it. */
const REFUSALS =
  /^(AccessDenied|SignatureDoesNotMatch|InvalidAccessKeyId|ExpiredToken|InvalidToken|InvalidSecurityToken|Unauthorized|AuthFailure|Authentication|Authorization)/;
const MISSING =
  /^((Topic|Namespace|Tenant|Subscription|Cluster)NotFound|InvalidTopicName|BrokerMetadataError|ResourceNotFound)/;

function failed(rule: Rule, run: RunRecord): Outcome {
  const details = Object.values(run.errorDetails);
  const says = (pattern: RegExp) => details.some((one) => pattern.test(one));
  const status = run.errorDetails['status'] ?? run.errorDetails['httpStatus'] ?? '';
  const isRefused = says(REFUSALS) || (/^40[13]$/.test(status) && !says(/^RequestTimeTooSkewed/));
  const isMissing = says(MISSING) || (run.errorCode === 'source' && status === '404');
  const state = says(/^NoSuchBucket/)
    ? 'bucket missing'
    : isRefused
      ? 'permission denied'
      : isMissing || /no TDMQ role/.test(run.error ?? '')
        ? 'source missing'
        : 'failing';
  return {
    state,
    reason: run.error ?? 'the last run failed',
    hint: run.hint ?? `See its lines: tdmq-backup rule logs ${rule.name} --request ${run.requestId}`,
  };
}

const intervalMs = (rule: Rule) => intervalOf(rule) * 60_000;
const minutes = (ms: number) => `${Math.round(ms / 60_000)} minutes`;
const hours = (seconds: number) => Math.round(seconds / 360) / 10;

function silent({ rule, runs, nowMs }: Sight): Fault | undefined {
  if (runs === undefined) return undefined;
  const [last] = runs;
  const changedMs = parseScfTime(rule.modifiedAt ?? rule.createdAt ?? '') || 0;
  const sinceMs = Math.max(last?.endedAtMs ?? 0, changedMs);
  if (nowMs - sinceMs <= SILENT_TICKS * intervalMs(rule) + rule.timeoutSeconds * 1_000) return undefined;
  return {
    reason:
      last === undefined
        ? 'the timer is on, but no run has left a log line within a day'
        : `the timer is on, but there was no run for ${minutes(nowMs - last.endedAtMs)}`,
    hint: `tdmq-backup rule run ${rule.name} tries it. See the function in the SCF console: its concurrency, its balance, its log delivery.`,
  };
}

/** Run after run finds the subscription taken. A long run keeps its own next ticks off, so it takes longer than one. */
function locked({ rule, runs = [], nowMs }: Sight): Fault | undefined {
  if (runs[0]?.stopReason !== 'busy') return undefined;
  const lastTaken = runs.find((run) => run.stopReason !== 'busy');
  const sinceMs = lastTaken?.endedAtMs ?? Math.min(...runs.map((run) => run.endedAtMs));
  if (nowMs - sinceMs <= rule.timeoutSeconds * 1_000 + SILENT_TICKS * intervalMs(rule)) return undefined;
  const subscription = rule.environment['PULSAR_SUBSCRIPTION'];
  return {
    reason: `for ${minutes(nowMs - sinceMs)} every run has found the subscription ${subscription} in use by somebody else`,
    hint: 'What they acknowledge is not backed up: stop them, or give the rule a subscription of its own (rule edit --subscription).',
  };
}

/** Within the last day: what was lost is lost, but somebody has to know. */
function subscriptionMoved({ rule, runs = [], nowMs, ttlSeconds }: Sight): Fault | undefined {
  const run = runs.find((one) => one.subscriptionMoved > 0);
  if (run === undefined) return undefined;
  const ttl = ttlSeconds ? ` The namespace drops messages that waited ${hours(ttlSeconds)} h.` : '';
  return {
    reason: `${minutes(nowMs - run.endedAtMs)} ago a run found its subscription moved in ${run.subscriptionMoved} partition(s): what was passed over is in no object`,
    hint: `tdmq-backup rule logs ${rule.name} --request ${run.requestId} reports from where to where. TTL, a backlog quota, skip, clear-backlog or a reset do that: see who did, and raise the TTL.${ttl}`,
  };
}

/** The instances of a tick say much the same, so one of each tick is compared. */
function fallingBehind({ rule, runs = [], ttlSeconds }: Sight): Fault | undefined {
  const instances = Math.max(1, instancesOf(rule));
  const [a, b, c] = runs.filter((_, i) => i % instances === 0);
  const risk = ttlSeconds ? ` The namespace drops messages that waited ${hours(ttlSeconds)} h.` : '';
  const hint = `Give it more memory, which is more CPU (tdmq-backup rule edit ${rule.name} --memory 1024), more time, or ${moreInstances(rule, instances)}.${risk}`;
  if (a?.stopReason === 'deadline' && b?.stopReason === 'deadline') {
    return { reason: 'the last two runs ended at their time limit with messages left', hint };
  }
  if ([a, b, c].every((run) => run?.heldBack?.includes('unknown'))) {
    return {
      reason: `the last three runs got nothing of a backlog of ${a?.backlog}, for an unknown reason`,
      hint: `Look at the subscription in the TDMQ console: at what other consumers have not acknowledged, and whether an unload of the topic helps.${risk}`,
    };
  }
  if (a?.backlog === undefined || b?.backlog === undefined || c?.backlog === undefined) return undefined;
  if (!(a.backlog > b.backlog && b.backlog > c.backlog && a.messages > 0)) return undefined;
  return { reason: `the backlog grows from run to run, to ${a.backlog}`, hint };
}

/** How a rule gets more instances, as a command. */
function moreInstances(rule: Rule, instances: number): string {
  if (instances >= MAX_INSTANCES)
    return 'a second rule on the same subscription and prefix: SCF takes 10 timers for a function (docs/deploy.md)';
  const type = rule.environment['PULSAR_SUBSCRIPTION_TYPE'] ?? 'exclusive';
  const toFailover = type === 'exclusive' ? ' --subscription-type failover' : '';
  const most =
    type === 'shared' || type === 'key_shared' ? '' : ', at most as many as the topic has partitions';
  return `more instances (tdmq-backup rule edit ${rule.name}${toFailover} --instances ${Math.min(MAX_INSTANCES, instances * 2)}${most})`;
}
