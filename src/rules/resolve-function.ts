// What a form asks of the function itself: its interval, its instances, its Node.js, and whether its settings fit into
// what SCF has for them. Asks nobody; faults are gathered, not thrown.
import type { Fault } from '../errors.ts';
import type { Rule } from './rule.ts';
import { faultOf, type RuleForm } from './rule-form.ts';
import {
  DEFAULT_INTERVAL,
  INTERVALS,
  instancesOf,
  intervalOf,
  MAX_INSTANCES,
  shortestGapMinutes,
} from './schedule.ts';

/** Those that SCF documents and that the package runs on; the first is the default. */
const RUNTIMES = ['Nodejs18.15', 'Nodejs20.19'] as const;
const MIN_NODE = 18;
/** Names and values together. */
const MAX_ENVIRONMENT_BYTES = 4_096;

/** The minutes between ticks. A rule that has an interval which does not divide the hour keeps it. */
export function resolveInterval(
  { fields: { interval = DEFAULT_INTERVAL } }: RuleForm,
  current: Rule | undefined,
  faults: Fault[],
): number {
  const minutes = Number(interval);
  const isKept = current !== undefined && intervalOf(current) === minutes;
  // What the settings do not take at all is reported with them.
  const isSetting = Number.isInteger(minutes) && minutes >= 5 && minutes <= 15;
  const fault = isSetting && !isKept ? faultOfInterval(minutes) : undefined;
  if (fault !== undefined) faults.push(faultOf('interval', interval, fault));
  return isSetting ? minutes : Number(DEFAULT_INTERVAL);
}

/** What is wrong with an interval of whole minutes that the settings take. */
export function faultOfInterval(minutes: number): string | undefined {
  if (INTERVALS.includes(minutes)) return undefined;
  return `cron starts again with each hour, so the hour's last gap would be ${shortestGapMinutes(minutes)} minutes; choose ${listed(INTERVALS.map(String))}`;
}

/** How many instances a tick starts. An existing rule is asked for nothing that it does not change. */
export function resolveInstances(
  { fields }: RuleForm,
  current: Rule | undefined,
  partitions: number | undefined,
  faults: Fault[],
  warnings: string[],
): number {
  const text = fields.instances ?? (current === undefined ? '1' : '0');
  const type = fields.subscriptionType ?? 'exclusive';
  const instances = Number(text);
  const isSameType =
    current !== undefined && (current.environment['PULSAR_SUBSCRIPTION_TYPE'] || 'exclusive') === type;
  if (isSameType && instances === instancesOf(current)) return instances;
  if (!/^\d+$/.test(text) || instances < 1 || instances > MAX_INSTANCES) {
    faults.push(
      faultOf(
        'instances',
        text,
        `SCF takes 1 to ${MAX_INSTANCES} timers for a function; for more, make a second rule on the same subscription and prefix`,
      ),
    );
  } else if (type === 'exclusive' && instances > 1) {
    faults.push(
      faultOf(
        'instances',
        text,
        `an exclusive subscription takes one consumer, so the others would end as busy; pass --subscription-type failover (each message once) or shared or key_shared (at least once), or --instances 1`,
      ),
    );
  } else if (type === 'failover' && partitions !== undefined && instances > Math.max(1, partitions)) {
    warnings.push(
      `the topic has ${partitions || 'no'} partitions: on a failover subscription more instances than that get none`,
    );
  } else if (type === 'failover' && instances === 1 && !isSameType) {
    warnings.push('one timer starts one instance at a time; --instances 2 to 10 share the partitions');
  }
  return instances;
}

/** The function's Node.js. Names that nobody here knows are SCF's to judge, as long as they may be new enough. */
export function resolveRuntime(
  { fields }: RuleForm,
  current: Rule | undefined,
  faults: Fault[],
  warnings: string[],
): string {
  const runtime = fields.runtime ?? RUNTIMES[0];
  if (current !== undefined) return current.runtime;
  if ((RUNTIMES as readonly string[]).includes(runtime)) return runtime;
  const major = Number(/^Nodejs(\d+)\.\d+$/.exec(runtime)?.[1] ?? 0);
  if (major < MIN_NODE) {
    faults.push(
      faultOf(
        'runtime',
        runtime,
        `the package needs Node.js ${MIN_NODE} or later; choose ${listed(RUNTIMES)}`,
      ),
    );
  } else {
    warnings.push(
      `the runtime ${runtime} is not one of ${RUNTIMES.join(', ')}; SCF refuses it where the region does not have it`,
    );
  }
  return runtime;
}

/** What is wrong where the settings, a key of `keyBytes` that is still to be read among them, are too large for SCF. */
export function faultsOfLimits(
  environment: Readonly<Record<string, string>>,
  keyBytes: number | undefined,
): Fault[] {
  const sizes = Object.entries(environment).map(
    ([name, value]) => [name, Buffer.byteLength(name + value)] as const,
  );
  if (keyBytes !== undefined) sizes.push(['PULSAR_TOKEN', 'PULSAR_TOKEN'.length + keyBytes]);
  const sizeBytes = sizes.reduce((sum, [, bytes]) => sum + bytes, 0);
  if (sizeBytes <= MAX_ENVIRONMENT_BYTES) return [];
  const largest = [...sizes].sort(([, a], [, b]) => b - a).slice(0, 3);
  const shown = largest.map(([name, bytes]) => `${name} ${bytes}`).join(', ');
  const way =
    largest[0]?.[0] === 'PULSAR_TOKEN' ? '; --role-key runtime keeps the key out of them' : '; shorten them';
  const text = `the settings have ${sizeBytes} bytes, and SCF takes ${MAX_ENVIRONMENT_BYTES} for a function (the largest: ${shown})${way}`;
  return [{ setting: largest[0]?.[0] ?? 'settings', text }];
}

const listed = (names: readonly string[]) => `${names.slice(0, -1).join(', ')} or ${names.at(-1)}`;
