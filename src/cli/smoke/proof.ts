// The steps of `smoke`, in their order: settings, function, a first run, publishing, a second run, objects, manifest. The
// first run comes before anything is published: where the function does not work, nothing is left in the topic.
import type { PulsarConfig, RuleConfig, RuleSettings } from '../../config.ts';
import { createCosStore } from '../../cos/store.ts';
import { type BackupError, messageOf } from '../../errors.ts';
import { isArchiveClass } from '../../format/contents.ts';
import type { Summary } from '../../format/run-manifest.ts';
import { systemClock } from '../../lib/clock.ts';
import type { Clock, Logger } from '../../ports.ts';
import { retryingStore } from '../../retrying-store.ts';
import { type CheckResult, fail, failed, ok, warn } from '../../rules/check-result.ts';
import type { Cloud } from '../../rules/cloud.ts';
import { readRoleKey } from '../../rules/role-key.ts';
import { checkSettings, findRule, type Rule } from '../../rules/rule.ts';
import { publishMarked } from './marked-messages.ts';
import { runUntilCaughtUp } from './runs.ts';
import { type ProofOptions, proveMarked, proveWhatCame } from './stored-proof.ts';

/** Each step as soon as it is done; the first that fails ends it. */
export async function* proveRule(options: ProofOptions): AsyncGenerator<CheckResult, void, undefined> {
  const { cloud, config, publishes, traces, during, signal } = options;
  yield ok('settings', `rule ${config.rule}, topic ${config.pulsar.topic.full}`);

  let deployed: Deployed;
  try {
    deployed = await findDeployed(cloud, config);
  } catch (error) {
    return yield attempted('function', error, signal);
  }
  yield deployed.result;
  if (deployed.result.status === 'fail') return;

  const runs: Summary[] = [];
  const run = async (): Promise<CheckResult> => {
    const onRun = (requestId: string) => void traces.requestIds.push(requestId);
    const own = await during('waiting for the run', () =>
      runUntilCaughtUp(cloud, deployed.rule, signal, onRun),
    );
    runs.push(...own);
    return ok('run', runText(own));
  };
  try {
    yield await run();
  } catch (error) {
    return yield attempted('run', error, signal);
  }

  const clock = clockBehind(deployed.settings.file.lingerMinutes);
  const startedMs = clock.now();
  const published = publishes
    ? await publish(options, clock)
    : warn('publish', 'nothing is published (--no-publish)', 'This proves only what the run stored.');
  yield published;
  if (published.status === 'fail') return;
  if (traces.messages > 0) {
    try {
      yield await run();
    } catch (error) {
      return yield attempted('run', error, signal);
    }
  }

  const { prefix } = deployed.settings.cos;
  const inner = createCosStore({ ...config.cos, endpoint: options.endpoints.cos }, { logger: SILENT });
  const store = retryingStore(inner, { clock: systemClock, logger: SILENT, signal });
  const archive = { store, prefix, topic: config.pulsar.topic };
  try {
    if (traces.messages > 0) yield* proveMarked(archive, options, runs, startedMs, isAtLeastOnce(config));
    else yield* proveWhatCame(archive, options, runs, isAtLeastOnce(config));
  } catch (error) {
    yield attempted('objects', error, signal);
  } finally {
    await store.close();
  }
}

const isAtLeastOnce = ({ pulsar }: RuleConfig) => /shared/.test(pulsar.subscriptionType);

/** A step that was interrupted did not fail. */
function attempted(item: string, error: unknown, signal: AbortSignal): CheckResult {
  signal.throwIfAborted();
  return failed(item, error);
}

interface Deployed {
  readonly rule: Rule;
  readonly settings: RuleSettings;
  readonly result: CheckResult;
}

/** The rule's function, and whether it is the one that these settings describe. @throws BackupError */
async function findDeployed(cloud: Cloud, config: RuleConfig): Promise<Deployed> {
  const item = 'function';
  const rule = await findRule(cloud, config.rule);
  const settings = checkSettings(rule.environment, rule.functionName, rule.region);
  const others = differences(config, settings);
  const { functionName, status, statusReason } = rule;
  const result =
    status !== 'Active'
      ? fail(
          item,
          `${functionName} is ${status}${statusReason === undefined ? '' : `: ${statusReason}`}`,
          'See the function in the SCF console; call this again when it is Active.',
        )
      : others.length > 0
        ? fail(
            item,
            `${functionName} has other settings than these: ${others.join('; ')}`,
            `Deploy these settings, or write those of the function with \`tdmq-backup rule export ${rule.name}\` and name that file.`,
          )
        : isArchiveClass(settings.cos.storageClass)
          ? fail(
              item,
              `objects of ${settings.cos.storageClass} cannot be read back at once, so nothing could be proved`,
              `Prove it with tdmq-backup rule edit ${rule.name} --set COS_STORAGE_CLASS=STANDARD first; set it back then.`,
            )
          : ok(item, `${functionName} in ${rule.region}, ${rule.memoryMb} MB, ${rule.timeoutSeconds} s`);
  return { rule, settings, result };
}

/** What would make this prove something else than what the function does. */
function differences(here: RuleSettings, there: RuleSettings): string[] {
  const facts = ({ pulsar, cos }: RuleSettings) => ({
    PULSAR_TOPIC: pulsar.topic.full,
    PULSAR_SUBSCRIPTION: pulsar.subscription,
    PULSAR_SUBSCRIPTION_TYPE: pulsar.subscriptionType,
    COS_BUCKET: cos.bucket,
    COS_REGION: cos.region,
    COS_PREFIX: cos.prefix,
  });
  const [own, its] = [facts(here), facts(there)];
  return (Object.keys(own) as (keyof typeof own)[])
    .filter((name) => own[name] !== its[name])
    .map((name) => `${name} is ${JSON.stringify(its[name])} there, ${JSON.stringify(own[name])} here`);
}

function runText(runs: readonly Summary[]): string {
  const sum = (field: 'messages' | 'objects') => runs.reduce((total, one) => total + one[field], 0);
  const times = runs.length === 1 ? '' : ` in ${runs.length} runs`;
  return `${sum('messages').toLocaleString('en-US')} messages in ${sum('objects')} objects${times}, caught up`;
}

/** How far the clocks of this machine and of the function may differ. */
const CLOCK_DIFFERENCE_MS = 60_000;

/** Messages that are published by it are so old that the next run stores them, and leaves none for more to come. */
const clockBehind = (lingerMinutes: number): Clock => {
  const behindMs = lingerMinutes === 0 ? 0 : lingerMinutes * 60_000 + CLOCK_DIFFERENCE_MS;
  return { ...systemClock, now: () => systemClock.now() - behindMs };
};

async function publish(
  { config, endpoints, mayPublish, traces, during, signal }: ProofOptions,
  clock: Clock,
): Promise<CheckResult> {
  const item = 'publish';
  if (!(await mayPublish()))
    return fail(item, 'nothing was published', '--no-publish proves what comes without it.');
  try {
    await during('publishing', async () =>
      publishMarked(await withRoleKey(config, endpoints.api, signal), traces, signal, clock),
    );
    return ok(item, `${traces.messages} marked messages`);
  } catch (error) {
    signal.throwIfAborted();
    if (traces.messages + traces.unconfirmed > 0) return failed(item, error);
    const { hint = 'See `tdmq-backup check`.' } = error as BackupError;
    return warn(item, `not possible from here: ${messageOf(error)}; what comes is used instead`, hint);
  }
}

async function withRoleKey(
  { pulsar, cos }: RuleConfig,
  endpoint: string | undefined,
  signal: AbortSignal,
): Promise<PulsarConfig> {
  const { tdmqRole } = pulsar;
  if (tdmqRole === undefined) return pulsar;
  const { region, credentials } = cos;
  const token = await readRoleKey({ ...tdmqRole, region, credentials, endpoint, signal, runsFrom: 'shell' });
  return { ...pulsar, token };
}

const nothing = (): void => undefined;
const SILENT: Logger = { debug: nothing, info: nothing, warn: nothing, error: nothing };
