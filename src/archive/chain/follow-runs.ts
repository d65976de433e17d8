// Follows the manifests of a prefix from run to run: finds missing and changed ones, and how far the runs have
// acknowledged each partition. Reads no object. Manifests arrive in key order; only those of the last hours are kept
// whole.
import { compareEntries } from '../../format/entry-order.ts';
import { partitionName } from '../catalog/catalog.ts';
import {
  linkOf,
  type PassedOver,
  type ReadManifest,
  type RunClaim,
  type RunLink,
  ruleOf,
  startOf,
} from '../catalog/manifest-link.ts';
import { EntryRanges } from './marked-ranges.ts';

/** So long a manifest is kept as it is: instances that run side by side, and those that name it, come within this time. */
const OPEN_MS = 2 * 3_600_000;
/** A function's longest time-out: so long before a run ends, one beside it may have begun. */
const LONGEST_RUN_MS = 900_000;

/** The run at one end of what is acknowledged. */
export interface RunMark {
  readonly key: string;
  readonly rule: string;
  readonly startedAtMs: number;
  /** It has compared where the subscription was with where the run before had left it. */
  readonly hasCompared: boolean;
  readonly last: RunClaim['last'];
}

/** What the runs say about one partition, for one subscription. */
export interface PartitionChain {
  readonly topic: string;
  readonly subscription: string;
  readonly isInOrder: boolean;
  readonly partition: number;
  /** Where runs say that they began and ended. */
  readonly acknowledged: EntryRanges<RunMark>;
  /** Of that, what a run drained that had the partition for itself, or has stored objects of it. */
  readonly drained: EntryRanges;
  /** Of that, what another run may have stored whose manifest is gone, or what a manifest says that was changed. */
  readonly doubted: EntryRanges;
  readonly passedOver: PassedOver[];
}

/** A manifest that a later one names, and that is not there. */
export interface MissingManifest {
  readonly key: string;
  readonly rule: string;
  readonly startedAtMs: number;
  /** Its run had ended when the one began that names it. */
  readonly endedByMs: number;
  /** The key of the manifest that names it, and what it says about its checksum. */
  readonly namedBy: string;
  readonly sha256?: string | undefined;
  readonly topic: string | undefined;
  /** When the last run before it began of which there is a manifest. */
  readonly afterMs: number | undefined;
}

/** A manifest with other bytes than the run after it has seen. */
export interface ChangedManifest {
  readonly key: string;
  /** Its checksum, and which one it is. */
  readonly sum: string;
  readonly expected: string;
  readonly namedBy: string;
  readonly topic: string | undefined;
}

/** A manifest whose content is of another run than its key says. */
export interface MisnamedManifest {
  readonly key: string;
  readonly run: string;
  /** What tools make beside it: a name that begins as that of the run, and the same bytes. */
  readonly isCopy: boolean;
  readonly topic: string | undefined;
}

/** The newest manifest of a rule: what is before it cannot be changed without a trace. */
export interface ChainHead {
  readonly rule: string;
  readonly key: string;
  readonly sha256: string;
  readonly startedAtMs: number;
}

export interface Chain {
  /** Manifests of runs, and how many of them say where the subscription was. */
  readonly manifests: number;
  readonly followed: number;
  /** When the first and the last of these runs began. */
  readonly fromMs: number | undefined;
  readonly untilMs: number | undefined;
  readonly missing: readonly MissingManifest[];
  readonly changed: readonly ChangedManifest[];
  readonly misnamed: readonly MisnamedManifest[];
  readonly heads: readonly ChainHead[];
  /** Of each partition, by `topic partition`: one chain for each subscription. */
  readonly partitions: ReadonlyMap<string, readonly PartitionChain[]>;
}

/** What an earlier verification saw last. */
export interface KnownHead {
  readonly path: string;
  readonly sha256: string;
  /** Who says it. */
  readonly saidBy: string;
}

interface Open {
  readonly link: RunLink;
  isChanged: boolean;
}

/** Give it each manifest under `prefix` once, in the order of keys, and then ask for the chain; of runs since `fromMs`. */
export function createRunFollower(prefix: string, known: readonly KnownHead[] = [], fromMs = 0) {
  const keyOf = (path: string) => `${prefix}_runs/${path}`;
  const partitions = new Map<string, PartitionChain[]>();
  const missing: MissingManifest[] = [];
  const changed: ChangedManifest[] = [];
  /** Several runs may have seen a manifest as it was. */
  const expectedOf = new Set<string>();
  const misnamed: MisnamedManifest[] = [];
  const heads: ChainHead[] = [];
  /** Where runs may have looked on only, by manifests that do not name what other instances left. */
  const lookers = new Map<PartitionChain, EntryRanges>();
  /** Subscriptions that several instances have drained side by side. */
  const shared = new Set<string>();
  let manifests = 0;
  let followed = 0;
  let firstMs: number | undefined;
  let untilMs: number | undefined;

  // Of the rule whose manifests come at the moment.
  let rule: string | undefined;
  let open: Open[] = [];
  /** Of these, those that had not ended when the last one began. */
  let running: RunLink[] = [];
  let named = new Map<string, MissingManifest>();
  /** Of these, by their paths, those that may have run beside one that is still open. */
  let near: { readonly path: string; readonly one: MissingManifest }[] = [];
  let seen = new Map<string, string>();
  /** Of those that no other names yet. */
  let md5s = new Map<string, string>();
  let newest: RunLink | undefined;
  let strangers: { readonly link: RunLink; readonly run: string }[] = [];

  function add(read: ReadManifest): void {
    const link = linkOf(read);
    if (link === undefined || link.startedAtMs < fromMs) return;
    if (link.rule !== rule) endRule();
    rule = link.rule;
    manifests++;
    const one: Open = { link, isChanged: read.content === undefined };
    seen.set(link.path, link.sha256);
    if (read.md5 !== undefined) md5s.set(link.path, read.md5);
    // By a run whose machine has a clock that is behind.
    const namer = named.get(link.path);
    named.delete(link.path);
    if (namer?.sha256 !== undefined) compare(link.path, namer.sha256, namer.namedBy, namer.topic, one);
    for (const head of known)
      if (head.path === link.path) compare(link.path, head.sha256, head.saidBy, link.topic, one);
    if (link.previous !== undefined) name(link.previous.path, link.previous.sha256, link);
    for (const { path, md5 } of link.beside ?? []) {
      name(path, undefined, link);
      if (md5 !== undefined) compareMd5(path, md5, link);
    }
    if (link.topic !== undefined) {
      followed++;
      firstMs = Math.min(firstMs ?? link.startedAtMs, link.startedAtMs);
      untilMs = Math.max(untilMs ?? link.startedAtMs, link.startedAtMs);
    }
    // Those that have ended by now have ended for all that come, in the order in which they began.
    running = running.filter(({ endedAtMs }) => endedAtMs > link.startedAtMs);
    if (running.some((other) => isOfSame(other, link))) shared.add(`${link.topic} ${link.subscription}`);
    running.push(link);
    if (link.otherRun !== undefined) strangers.push({ link, run: link.otherRun });
    open.push(one);
    newest = link;
    for (let old = open[0]; old && old.link.startedAtMs <= link.startedAtMs - OPEN_MS; old = open[0]) {
      close(old);
      open.shift();
    }
  }

  /** `by` says that there is a manifest at the path. */
  function name(path: string, sha256: string | undefined, by: RunLink): void {
    if (seen.has(path)) {
      if (sha256 !== undefined) compare(path, sha256, by.key, by.topic);
    } else if (!named.has(path)) {
      const one = { ...missingOf(path, by.key, by), afterMs: newest?.startedAtMs, sha256 };
      named.set(path, one);
      near.push({ path, one });
    }
  }

  function compare(
    path: string,
    expected: string,
    namedBy: string,
    topic: string | undefined,
    own?: Open,
  ): void {
    const sha256 = seen.get(path) as string;
    md5s.delete(path);
    if (sha256 === expected) return;
    const one = own ?? open.find(({ link }) => link.path === path);
    if (one !== undefined) one.isChanged = true;
    const seenBefore = expectedOf.size;
    if (expectedOf.add(`${path} ${expected}`).size === seenBefore) return;
    const sum = `SHA-256 is ${sha256}`;
    changed.push({ key: keyOf(path), sum, expected, namedBy, topic });
  }

  /** A manifest beside the newest one, which runs know by the store's list alone. */
  function compareMd5(path: string, expected: string, by: RunLink): void {
    const md5 = md5s.get(path);
    md5s.delete(path);
    if (md5 === undefined || md5 === expected) return;
    const one = open.find(({ link }) => link.path === path);
    if (one !== undefined) one.isChanged = true;
    changed.push({ key: keyOf(path), sum: `MD5 is ${md5}`, expected, namedBy: by.key, topic: by.topic });
  }

  /** What the run says counts from now on. */
  function close({ link, isChanged }: Open): void {
    const { topic, subscription, subscriptionType, startedAtMs, endedAtMs } = link;
    if (topic === undefined) return;
    // Runs are closed in the order in which they began.
    near = near.filter(
      ({ path, one }) => one.startedAtMs > startedAtMs - LONGEST_RUN_MS && named.get(path) === one,
    );
    const isBesideMissing = near.some(
      ({ one }) => one.startedAtMs <= endedAtMs && startedAtMs < one.endedByMs,
    );
    for (const claim of link.claims) {
      const chain = chainOf(link, claim.partition);
      const { begin, end, last, hasStored } = claim;
      const hasCompared = link.previous?.sha256 !== undefined;
      const mark = { key: link.key, rule: link.rule, startedAtMs, hasCompared, last };
      const order = compareEntries(begin, end);
      chain.acknowledged.add({ after: begin, through: order > 0 ? begin : end }, mark);
      if (order > 0) chain.acknowledged.add({ after: end, through: end }, mark);
      if (order >= 0) continue;
      const range = { after: begin, through: end };
      const isAlone = subscriptionType === 'exclusive' || hasStored;
      if (isChanged) chain.doubted.add(range, undefined);
      else if (isAlone) chain.drained.add(range, undefined);
      else if (isBesideMissing) chain.doubted.add(range, undefined);
      else if (link.beside === undefined) {
        const own = lookers.get(chain) ?? new EntryRanges();
        lookers.set(chain, own);
        own.add(range, undefined);
      }
    }
    for (const one of link.passedOver) {
      if (isChanged) continue;
      chainOf({ topic, subscription, subscriptionType }, one.partition).passedOver.push(one);
    }
  }

  function chainOf(
    { topic, subscription, subscriptionType }: Pick<RunLink, 'topic' | 'subscription' | 'subscriptionType'>,
    partition: number,
  ): PartitionChain {
    const name = partitionName(topic as string, partition);
    const chains = partitions.get(name) ?? [];
    partitions.set(name, chains);
    let chain = chains.find((one) => one.subscription === subscription);
    if (chain === undefined) {
      chain = {
        ...{ topic: topic as string, subscription, partition },
        isInOrder: subscriptionType === 'exclusive' || subscriptionType === 'failover',
        acknowledged: new EntryRanges<RunMark>((a, b) => a.startedAtMs < b.startedAtMs),
        drained: new EntryRanges(),
        doubted: new EntryRanges(),
        passedOver: [],
      };
      chains.push(chain);
    }
    return chain;
  }

  function endRule(): void {
    for (const one of open) close(one);
    missing.push(...named.values());
    const timesSeen = new Map<string, number>();
    for (const sha256 of strangers.length === 0 ? [] : seen.values())
      timesSeen.set(sha256, (timesSeen.get(sha256) ?? 0) + 1);
    for (const { link, run } of strangers) {
      const isCopy = link.path.includes(`/${run}`) && (timesSeen.get(link.sha256) ?? 0) > 1;
      misnamed.push({ key: link.key, run, isCopy, topic: link.topic });
    }
    for (const { path, saidBy } of known)
      if (ruleOf(path) === rule && !seen.has(path) && !named.has(path)) missing.push(missingOf(path, saidBy));
    if (newest !== undefined) {
      const { rule: own, key, sha256, startedAtMs } = newest;
      heads.push({ rule: own, key, sha256, startedAtMs });
    }
    open = [];
    running = [];
    named = new Map();
    near = [];
    seen = new Map();
    md5s = new Map();
    newest = undefined;
    strangers = [];
  }

  const missingOf = (path: string, namedBy: string, by?: RunLink): MissingManifest => ({
    ...{ key: keyOf(path), rule: ruleOf(path), startedAtMs: startOf(path), namedBy, topic: by?.topic },
    ...{ endedByMs: by?.startedAtMs ?? Number.POSITIVE_INFINITY, afterMs: undefined },
  });

  return {
    add,
    finish(): Chain {
      endRule();
      for (const [{ topic, subscription, doubted }, own] of lookers)
        if (shared.has(`${topic} ${subscription}`))
          for (const range of own.ranges) doubted.add(range, undefined);
      const rules = new Set(heads.map((head) => head.rule));
      for (const { path, saidBy } of known)
        if (!rules.has(ruleOf(path))) missing.push(missingOf(path, saidBy));
      const asked = missing.filter(({ startedAtMs }) => startedAtMs >= fromMs);
      return {
        manifests,
        followed,
        fromMs: firstMs,
        untilMs,
        missing: asked,
        changed,
        misnamed,
        heads,
        partitions,
      };
    },
  };
}

const isOfSame = (a: RunLink, b: RunLink): boolean =>
  a.topic !== undefined && a.topic === b.topic && a.subscription === b.subscription;

/** What a chain says about one topic. */
export function ofTopic(chain: Chain, name: string): Chain {
  const isOf = ({ topic }: { readonly topic: string | undefined }) => topic === undefined || topic === name;
  return {
    ...chain,
    missing: chain.missing.filter(isOf),
    changed: chain.changed.filter(isOf),
    misnamed: chain.misnamed.filter(isOf),
    partitions: new Map([...chain.partitions].filter(([, chains]) => chains.every(isOf))),
  };
}

/** The chain of an archive without manifests. */
export const NO_CHAIN: Chain = createRunFollower('').finish();
