// What `smoke` takes for proved: messages in one object each, the objects whole as they are read back, and named by a
// manifest. Other instances may still be storing when it begins.

import type { RuleConfig } from '../../config.ts';
import type { ManifestObject, Summary } from '../../format/run-manifest.ts';
import type { CallOptions } from '../../ports.ts';
import { type CheckResult, fail, ok } from '../../rules/check-result.ts';
import type { Cloud } from '../../rules/cloud.ts';
import { type Archive, damageOf, findMarked, findStored, readManifestsOf } from './stored-messages.ts';
import type { Traces } from './traces.ts';

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

/** How long another instance may take to store what it has. */
const SETTLE_MS = 60_000;
const SETTLE_PAUSE_MS = 2_000;
/** How far the clocks of this machine may go apart from a minute to the next. */
const CLOCK_STEP_MS = 60_000;
/** So many objects of messages that came are read back. */
const MAX_OBJECTS = 20;

/** Proves that each marked message is in one object, whole, and the object named by a manifest. @throws BackupError */
export async function* proveMarked(
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
          'The log of the run says why it left none; `tdmq-backup archive verify` reports what is known without it.',
        );
  }
}

/** A tick of the timer may have been faster than the run. */
function namedBy(manifests: ReadonlyMap<string, readonly ManifestObject[]>, keys: readonly string[]): string {
  const own = [...manifests].filter(([, objects]) => objects.some(({ key }) => keys.includes(key)));
  return own.length > 0 ? own.map(([key]) => key).join(', ') : 'that of a run of the timer names each object';
}

/** Proves the same of what the runs stored of messages that were there. @throws BackupError */
export async function* proveWhatCame(
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
  const said = all.slice(-MAX_OBJECTS);
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
        '`tdmq-backup archive verify` reports it all. Keep the objects, and please report it.',
      );
}
