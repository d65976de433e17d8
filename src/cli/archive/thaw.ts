// `tdmq-backup archive thaw`: asks COS for readable copies of what is in an archive class, and says when they are there.

import {
  type ArchivedObject,
  findArchived,
  listedPart,
  mayBeArchived,
} from '../../archive/catalog/archived.ts';
import { isRecovered } from '../../archive/catalog/catalog.ts';
import { streamCatalog } from '../../archive/catalog/catalog-stream.ts';
import { nothingOf } from '../../archive/catalog/nothing-found.ts';
import { mayHold } from '../../archive/catalog/selection.ts';
import { systemClock } from '../../lib/clock.ts';
import { createSlots } from '../../lib/semaphore.ts';
import type { ListedObject } from '../../ports.ts';
import type { Command } from '../command.ts';
import { parseArgs } from '../parse-args.ts';
import { startProgress } from '../terminal/progress.ts';
import { formatBytes } from '../terminal/table.ts';
import { UsageError } from '../usage-error.ts';
import { LOCATION_HELP, LOCATION_OPTIONS, numberOption, onlyTopic, openLocation } from './location.ts';
import type { Location } from './opened-location.ts';
import { parseSelection, SELECTION_HELP, SELECTION_OPTIONS } from './selection-flags.ts';

const TIERS = { expedited: 'Expedited', standard: 'Standard', bulk: 'Bulk' } as const;
/** COS takes 100 of these requests a second. */
const PARALLEL = 8;
const LOOK_EVERY_MS = 60_000;

export const command: Command = {
  summary: 'ask COS for readable copies of archived objects',
  help: `
Usage: tdmq-backup archive thaw [options]

Objects in the classes ARCHIVE and DEEP_ARCHIVE (and in the archive tiers of INTELLIGENT_TIERING) cannot be read before
COS has made a readable copy: within minutes (expedited, ARCHIVE only), 3 to 5 hours (standard; DEEP_ARCHIVE 12 to 24)
or 5 to 12 hours (bulk; DEEP_ARCHIVE 24 to 48), by COS's documentation. COS charges for the retrieval, and for the copy's
storage as STANDARD for that many days. This command requests copies of the selected objects that have no request yet,
and reports the state of the others; run it again to see when they are ready. The archived objects do not change. The
key needs cos:PostObjectRestore.

  --tier TIER      expedited, standard (default) or bulk
  --days N         how long the copies exist; 7 by default
  --wait           wait until all are ready
  --dry-run        only report their state
  --json           the counts and each object as JSON
${SELECTION_HELP}
${LOCATION_HELP}

Examples:
  tdmq-backup archive thaw --env-file .env.orders --from 2026-11-23 --until 2026-11-24 --dry-run
  tdmq-backup archive thaw --env-file .env.orders --from 2026-11-23 --until 2026-11-24 --tier bulk --wait
`,
  async run(args, terminal) {
    const { values } = parseArgs({
      args: [...args],
      options: {
        ...LOCATION_OPTIONS,
        ...SELECTION_OPTIONS,
        tier: { type: 'string', default: 'standard' },
        days: { type: 'string', default: '7' },
        wait: { type: 'boolean', default: false },
        'dry-run': { type: 'boolean', default: false },
        json: { type: 'boolean', default: false },
      },
    });
    const tier = Object.hasOwn(TIERS, values.tier) ? TIERS[values.tier as keyof typeof TIERS] : undefined;
    if (tier === undefined) throw new UsageError('--tier must be expedited, standard or bulk');
    const days = numberOption('--days', values.days, 1, 365);
    const selection = parseSelection(values);
    const location = await openLocation(values, terminal);
    const { store, prefix, thaw } = location;
    const progress = startProgress(terminal.stderr);
    try {
      if (thaw === undefined)
        throw new UsageError('a local copy has no archived objects: leave out --folder');
      const { signal } = terminal;
      /** Asks for those that are archived, and waits for them where that is wanted. */
      const thawAll = async (candidates: readonly ListedObject[]) => {
        const look = () => findArchived(store, candidates, { signal, withTiers: true });
        let found = await look();
        const cold = found.filter(({ state }) => state.kind === 'archived');
        if (tier === 'Expedited' && cold.some(({ storageClass }) => storageClass.includes('DEEP')))
          throw new UsageError('--tier expedited is not there for DEEP_ARCHIVE: choose standard or bulk');
        let asked = 0;
        if (!values['dry-run'] && cold.length > 0) {
          const slots = createSlots(PARALLEL);
          const ask = async ({ object }: ArchivedObject) => {
            const isTiered = object.storageClass?.endsWith('TIERING') === true;
            await thaw(object.key, { days, tier, isTiered });
            progress.update(`${++asked} of ${cold.length} objects requested`);
          };
          await Promise.all(cold.map((one) => slots.run(() => ask(one))));
          found = await look();
        }
        const isThere = () => found.every(({ state }) => state.kind === 'there');
        while (values.wait && !values['dry-run'] && !isThere()) {
          const there = found.filter(({ state }) => state.kind === 'there').length;
          progress.update(`${there} of ${found.length} objects can be read`);
          await (terminal.clock ?? systemClock).sleep(LOOK_EVERY_MS, signal);
          found = await look();
        }
        progress.clear();
        return { found, asked, isThere: isThere() };
      };
      const say = (found: readonly ArchivedObject[], selected: number, asked: number, more = '') =>
        terminal.stdout.write(
          values.json
            ? `${JSON.stringify(asJson(found, selected, asked))}\n`
            : `${asText(found, selected, asked)}${more}`,
        );
      const ownCold = await listOwnCold(location, signal);
      const own = await thawAll(ownCold);
      if (!own.isThere) {
        say(own.found, ownCold.length, own.asked, MANIFESTS_FIRST);
        return 0;
      }
      const topic = await onlyTopic(location, signal);
      const catalog = streamCatalog(store, prefix, { topic, signal, time: selection });
      const candidates: ListedObject[] = [];
      let selected = 0;
      for await (const object of catalog.objects()) {
        if (!mayHold(object, selection)) continue;
        selected++;
        if (mayBeArchived(object, true)) candidates.push(listedPart(object));
      }
      const raw = (await catalog.surroundings()).raw.filter((one) => !isRecovered(one));
      if (selected + raw.length === 0) throw await nothingOf(store, prefix, topic, { signal });
      const { found, asked } = await thawAll([...candidates, ...raw]);
      say(found, selected, asked);
      return 0;
    } finally {
      progress.clear();
      await location.close();
    }
  },
};

/**
 * Manifests and the like that are archived: runs store them as STANDARD, but a lifecycle rule may move them, and without
 * them no command knows what is there.
 */
async function listOwnCold(
  { store, prefix }: Location,
  signal: AbortSignal | undefined,
): Promise<ListedObject[]> {
  const cold: ListedObject[] = [];
  for await (const one of store.list(`${prefix}_`, signal === undefined ? {} : { signal }))
    if (one.key.endsWith('.json') && mayBeArchived(one, false)) cold.push(one);
  return cold;
}

const MANIFESTS_FIRST =
  'These are manifests and the like, without which the selection is not known: call this again when they are there.\n';

function countsOf(found: readonly ArchivedObject[]) {
  const count = (kind: ArchivedObject['state']['kind']) =>
    found.filter(({ state }) => state.kind === kind).length;
  const untils = found.flatMap(({ state }) => (state.kind === 'there' ? [state.until.getTime()] : []));
  const readableUntil = untils.length === 0 ? undefined : new Date(Math.min(...untils)).toISOString();
  return { there: count('there'), underWay: count('asked'), archived: count('archived'), readableUntil };
}

const asJson = (found: readonly ArchivedObject[], selected: number, askedNow: number): object => ({
  format: 'tdmq-backup-thaw/1',
  selected,
  inArchiveClass: found.length,
  askedNow,
  ...countsOf(found),
  objects: found.map(({ object, storageClass, state }) => ({
    key: object.key,
    storageClass,
    state: state.kind === 'asked' ? 'under way' : state.kind,
    ...(state.kind === 'there' && { until: state.until.toISOString() }),
  })),
});

function asText(found: readonly ArchivedObject[], selected: number, askedNow: number): string {
  if (found.length === 0) return `None of the ${selected} selected objects is archived: all can be read.\n`;
  const { there, underWay, archived, readableUntil } = countsOf(found);
  const size = formatBytes(found.reduce((sum, { object }) => sum + object.sizeBytes, 0));
  const states = [
    there > 0 ? `${there} can be read until ${readableUntil}` : '',
    underWay > 0
      ? `${underWay} are being thawed${askedNow > 0 ? `, ${askedNow} of them requested now` : ''}`
      : '',
    archived > 0 ? `${archived} are archived, and nobody has asked for them` : '',
  ].filter(Boolean);
  return `${found.length} archived objects, ${size}: ${states.join('; ')}\n`;
}
