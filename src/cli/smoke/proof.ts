// The steps of `smoke`, in their order: settings, function, a first run, publishing, a second run, objects, manifest. The
// first run comes before anything is published: where the function does not work, nothing is left in the topic.
import type { PulsarConfig, RuleConfig, RuleSettings } from '../../config.ts';
import { createCosStore } from '../../cos/store.ts';
import { type BackupError, messageOf } from '../../errors.ts';
import { isArchiveClass } from '../../format/contents.ts';
import type { ManifestObject, Summary } from '../../format/run-manifest.ts';
import { systemClock } from '../../lib/clock.ts';
import type { CallOptions, Logger } from '../../ports.ts';
import { retryingStore } from '../../retrying-store.ts';
import { type CheckResult, fail, failed, ok, warn } from '../../rules/check-result.ts';
import type { Cloud } from '../../rules/cloud.ts';
import { readRoleKey } from '../../rules/role-key.ts';
import { checkSettings, findRule, type Rule } from '../../rules/rule.ts';
import { publishMarked } from './marked-messages.ts';
import { runUntilCaughtUp } from './runs.ts';
import { type Archive, damageOf, findMarked, findStored, readManifestsOf } from './stored-messages.ts';
import type { Traces } from './traces.ts';

/** How long another instance may take to store what it has. */
const SETTLE_MS = 60_000;
const SETTLE_PAUSE_MS = 2_000;
/** How far the clocks of this machine may go apart from a minute to the next. */
const CLOCK_STEP_MS = 60_000;
/** So many objects of messages that came are read back. */
const MOST_OBJECTS = 20;

/** What a proof works with. */
export interface ProofOptions {
  readonly cloud: Cloud;
  readonly config: RuleConfig;
  /** Instead of the cloud's own domains. */
  readonly endpoints: { readonly cos: string | undefined; readonly api: string | undefined };
  readonly publishes: boolean;
  /** Asks the person, as late as possible. */
  readonly mayPublish: () => Promise<boolean>;
  /** Shows that something slow is under way. */
  readonly during: <T>(what: string, work: () => Promise<T>) => Promise<T>;
  readonly traces: Traces;
  readonly signal: AbortSignal;
}

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

  const startedMs = systemClock.now();
  const published = publishes
    ? await publish(options)
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

async function publish({
  config,
  endpoints,
  mayPublish,
  traces,
  during,
  signal,
}: ProofOptions): Promise<CheckResult> {
  const item = 'publish';
  if (!(await mayPublish()))
    return fail(item, 'nothing was published', '--no-publish proves what comes without it.');
  try {
    await during('publishing', async () =>
      publishMarked(await withRoleKey(config, endpoints.api, signal), traces, signal),
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

/** Each marked message in one object, whole, and the object named by a manifest. */
async function* proveMarked(
  archive: Archive,
  { cloud, traces, during, signal }: ProofOptions,
  runs: readonly Summary[],
  startedMs: number,
  allowsCopies: boolean,
): AsyncGenerator<CheckResult, void, undefined> {
  const call: CallOptions = { signal };
  const untilMs = cloud.clock.now() + SETTLE_MS;
  for (;;) {
    const { messages, objects } = await during('reading back', () =>
      findMarked(archive, traces.mark, startedMs - CLOCK_STEP_MS, call),
    );
    const manifests = await readManifestsOf(archive, runs, call);
    traces.objects = objects.map(({ key }) => key);
    traces.manifests.splice(0, traces.manifests.length, ...manifests.keys());
    const named = new Set([...manifests.values()].flat().map(({ key }) => key));
    const unnamed = objects.filter(({ key, manifest }) => manifest === undefined && !named.has(key));
    const stored = new Set(messages.map(({ number }) => number)).size;
    // Where another instance has a part of them, it stores them about now.
    if ((stored < traces.messages || unnamed.length > 0) && cloud.clock.now() < untilMs) {
      await cloud.clock.sleep(SETTLE_PAUSE_MS, signal);
      continue;
    }
    const item = 'objects';
    if (stored < traces.messages) {
      const heldBack = runs.at(-1)?.heldBack;
      return yield fail(
        item,
        `${traces.messages - stored} of ${traces.messages} marked messages are in no object below ${archive.prefix || 'the root of the bucket'}`,
        heldBack === undefined
          ? 'Somebody else may consume the subscription, or it was set behind them: `tdmq-backup check` names its consumers; see the log of the run.'
          : `The broker does not hand them out yet: ${heldBack}. Call this again later.`,
      );
    }
    const copies = messages.filter(({ keys }) => keys.length > 1);
    if (copies.length > 0 && !allowsCopies) {
      return yield fail(
        item,
        `${copies.length} marked messages are in more than one object: ${copies[0]?.keys.join(', ')}`,
        'Do two rules store into this prefix? `tdmq-backup rule list` shows all. Please report it otherwise.',
      );
    }
    const changed = messages.filter(({ isAsPublished }) => !isAsPublished);
    if (changed.length > 0) {
      const keys = changed.flatMap(({ keys: own }) => own).join(', ');
      return yield fail(item, `marked messages came back changed: ${keys}`, 'Please report it.');
    }
    yield await readBack(archive, objects, `${traces.messages} marked messages, each in one object`, call);
    return yield unnamed.length === 0
      ? ok('manifest', namedBy(manifests, traces.objects))
      : fail(
          'manifest',
          `no manifest names ${unnamed.map(({ key }) => key).join(', ')}`,
          'The log of the run says why it left none; `tdmq-backup archive verify` tells what is known without it.',
        );
  }
}

/** A tick of the timer may have been faster than the run. */
function namedBy(manifests: ReadonlyMap<string, readonly ManifestObject[]>, keys: readonly string[]): string {
  const own = [...manifests].filter(([, objects]) => objects.some(({ key }) => keys.includes(key)));
  return own.length > 0 ? own.map(([key]) => key).join(', ') : 'that of a run of the timer names each object';
}

/** What the runs stored of messages that were there. */
async function* proveWhatCame(
  archive: Archive,
  { traces, signal }: ProofOptions,
  runs: readonly Summary[],
  allowsCopies: boolean,
): AsyncGenerator<CheckResult, void, undefined> {
  const call: CallOptions = { signal };
  const manifests = await readManifestsOf(archive, runs, call);
  traces.manifests.push(...manifests.keys());
  const all = [...manifests.values()].flat();
  const item = 'objects';
  if (all.length === 0) {
    return yield fail(
      item,
      'no message came, so nothing is proved',
      'Let somebody publish to the topic, or give the role the permission to produce, and call this again.',
    );
  }
  const said = all.slice(-MOST_OBJECTS);
  const { objects, copies } = await findStored(archive, said, call);
  if (objects.length < said.length) {
    return yield fail(
      item,
      `${said.length - objects.length} of ${said.length} objects of the manifest are not in the bucket`,
      '`tdmq-backup archive verify` names them.',
    );
  }
  if (copies > 0 && !allowsCopies)
    return yield fail(
      item,
      `${copies} messages are in more than one object`,
      '`tdmq-backup archive verify` names them.',
    );
  const messages = said.reduce((sum, one) => sum + one.messages, 0);
  const part = said.length < all.length ? `the last ${said.length} of ${all.length} objects: ` : '';
  yield await readBack(archive, objects, `${part}${messages} messages that came, each in one object`, call);
  yield ok('manifest', [...manifests.keys()].join(', '));
}

async function readBack(
  { store }: Archive,
  objects: Parameters<typeof damageOf>[1],
  what: string,
  call: CallOptions,
): Promise<CheckResult> {
  const damage = await damageOf(store, objects, call);
  const [first] = damage;
  return first === undefined
    ? ok('objects', `${what}, read back and whole`)
    : fail(
        'objects',
        `${damage.length} things are wrong with what is stored; ${first.key}: ${first.detail}`,
        '`tdmq-backup archive verify` tells all. Keep the objects, and please report it.',
      );
}

const nothing = (): void => undefined;
const SILENT: Logger = { debug: nothing, info: nothing, warn: nothing, error: nothing };
