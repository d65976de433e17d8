// `verify` follows the manifests from run to run: every loss is found and named, whatever went with it, and what is no
// loss is not called one. Over archives made from docs/format.md alone.
import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { type VerifyReport, verifyArchive } from '../../../src/archive/verify/verify.ts';
import { parseTopicName } from '../../../src/topic-name.ts';
import {
  at,
  type DocumentedArchive,
  type DocumentedRun,
  documentedArchive,
  PREFIX,
  type RunOptions,
} from './documented-archive.ts';

const verify = (archive: DocumentedArchive, options: object = {}): Promise<VerifyReport> =>
  verifyArchive(archive.store, PREFIX, { level: 'list', ...options });

const reported = (report: VerifyReport, severity: string): string[] =>
  report.findings.filter((one) => one.severity === severity).map(({ kind, key }) => `${kind} ${key}`);
const damages = (report: VerifyReport) => reported(report, 'damage').sort();
const detailOf = (report: VerifyReport, kind: string) =>
  report.findings.filter((one) => one.kind === kind).map(({ detail }) => detail);

const TOPIC = 'persistent://t/ns/orders';

/** Two runs a day for five days; each stores ten entries of both partitions. */
function steadyRule(more: Partial<RunOptions> = {}): DocumentedArchive {
  const archive = documentedArchive();
  for (let run = 0; run < 10; run++) archive.run({ ...steadyRun(run), ...more });
  return archive;
}

function steadyRun(run: number, ledgerId = 7): RunOptions {
  const [first, last] = [run * 10, run * 10 + 9];
  const position = `${ledgerId}:${first - 1} ${ledgerId}:${last} ${ledgerId}:${last}`;
  return {
    startedMs: at(Math.floor(run / 2), (run % 2) * 60),
    positions: { 0: position, 1: position },
    objects: [0, 1].map((partition) => ({ partition, entries: `${ledgerId}:${first}-${last}` })),
  };
}

const runsOfDay = ({ runs }: DocumentedArchive, day: number) =>
  runs.slice(day * 2, day * 2 + 2) as [DocumentedRun, DocumentedRun];

/** Removes what the runs left: objects and manifests. */
const removeRuns = (archive: DocumentedArchive, ...runs: readonly DocumentedRun[]) =>
  archive.remove(...runs.flatMap(({ objects, manifest }) => [...objects, manifest]));

async function expectSound(archive: DocumentedArchive, options: object = {}): Promise<VerifyReport> {
  for (const level of ['list', 'record'] as const) {
    const report = await verify(archive, { ...options, level });
    expect(report.findings).toEqual([]);
  }
  return verify(archive, options);
}

describe('a sound archive', () => {
  it('is followed from its first run to its last, without a word', async () => {
    const archive = steadyRule();
    const report = await expectSound(archive);
    expect(report.chain).toMatchObject({
      manifests: 10,
      followed: 10,
      from: '2026-11-01T12:00:00.000Z',
      until: '2026-11-05T13:00:00.000Z',
      heads: [{ rule: 'orders-backup', key: archive.runs[9]?.manifest }],
    });
    expect(report.partitions).toEqual(
      [0, 1].map((partition) => ({
        topic: TOPIC,
        partition,
        followed: { after: '7:-1', through: '7:99' },
        passedOver: { places: 0, entries: 0 },
        withoutMessage: { places: 0, entries: 0 },
        lost: { places: 0, entries: 0 },
        unknown: { places: 0, entries: 0 },
      })),
    );
  });
});

describe('what is gone', () => {
  it('is named where an object went together with its manifest', async () => {
    const archive = steadyRule();
    removeRuns(archive, archive.runs[4] as DocumentedRun);
    const report = await verify(archive);
    const [next, missing] = [archive.runs[5], archive.runs[4]] as [DocumentedRun, DocumentedRun];
    expect(damages(report)).toEqual(
      [...next.objects.map((key) => `lost ${key}`), `manifest ${missing.manifest}`].sort(),
    );
    expect(detailOf(report, 'lost')).toEqual(
      [0, 1].map((partition) =>
        expect.stringContaining(
          `10 entries between 7:39 and 7:50 of ${TOPIC}-partition-${partition} were acknowledged`,
        ),
      ),
    );
    expect(detailOf(report, 'manifest')[0]).toContain(next.manifest);
    expect(report.partitions.map(({ lost }) => lost)).toEqual([
      { places: 1, entries: 10 },
      { places: 1, entries: 10 },
    ]);
  });

  it.each([1, 2, 3])('is named where a whole day went, objects and manifests (day %i)', async (day) => {
    const archive = steadyRule();
    removeRuns(archive, ...runsOfDay(archive, day));
    const report = await verify(archive);
    const [, second] = runsOfDay(archive, day);
    const [next] = runsOfDay(archive, day + 1);
    expect(damages(report)).toEqual(
      [...next.objects.map((key) => `lost ${key}`), `manifest ${second.manifest}`].sort(),
    );
    const [first, last] = [day * 20 - 1, day * 20 + 20];
    expect(detailOf(report, 'lost')).toEqual(
      [0, 1].map(() => expect.stringContaining(`20 entries between 7:${first} and 7:${last} `)),
    );
    const date = `2026-11-0${day + 1}`;
    expect(detailOf(report, 'empty-day')).toEqual([0, 1].map(() => expect.stringContaining(date)));
    expect(report.findings.filter(({ kind }) => kind === 'gap')).toEqual([]);
  });

  it('is named where the first day went', async () => {
    const archive = steadyRule();
    removeRuns(archive, ...runsOfDay(archive, 0));
    const report = await verify(archive);
    expect(damages(report)).toEqual([`manifest ${archive.runs[1]?.manifest}`]);
  });

  it('is named where only a manifest went', async () => {
    const archive = steadyRule();
    archive.remove((archive.runs[4] as DocumentedRun).manifest);
    const report = await verify(archive);
    expect(damages(report)).toEqual([`manifest ${archive.runs[4]?.manifest}`]);
    expect(report.findings).toHaveLength(1);
  });

  it('is named where one object of several went with its manifest, and the others stay', async () => {
    const archive = steadyRule();
    const [first] = (archive.runs[4] as DocumentedRun).objects as [string];
    archive.remove(first, (archive.runs[4] as DocumentedRun).manifest);
    const report = await verify(archive);
    expect(damages(report)).toEqual(
      [`lost ${archive.runs[5]?.objects[0]}`, `manifest ${archive.runs[4]?.manifest}`].sort(),
    );
  });

  it('is an object that is missing where its manifest is there, and no ids without a message', async () => {
    const archive = steadyRule();
    const [key] = (archive.runs[4] as DocumentedRun).objects as [string];
    archive.remove(key);
    const report = await verify(archive);
    expect(report.findings).toMatchObject([{ kind: 'missing', key }]);
    expect(report.partitions[0]).toMatchObject({ withoutMessage: { entries: 0 }, lost: { entries: 0 } });
  });

  it('is named in a ledger that has been closed since', async () => {
    const archive = documentedArchive();
    archive.run(steadyRun(0));
    const gone = archive.run({
      startedMs: at(1),
      positions: { 0: '7:9 8:19 8:19' },
      objects: [{ entries: '7:10-14' }, { entries: '8:0-19' }],
    });
    archive.run({ startedMs: at(2), positions: { 0: '8:19 8:29 8:29' }, objects: [{ entries: '8:20-29' }] });
    await expectNoDamage(archive);
    removeRuns(archive, gone);
    const report = await verify(archive);
    expect(report.partitions[0]?.lost).toEqual({ places: 1, entries: 20 });
    expect(damages(report)).toContain(`manifest ${gone.manifest}`);
  });

  it('is named as far as it can be where the ledger was trimmed right behind it', async () => {
    const archive = documentedArchive();
    archive.run(steadyRun(0));
    const gone = archive.run({
      startedMs: at(1),
      positions: { 0: '7:9 7:19 7:19' },
      objects: [{ entries: '7:10-19' }],
    });
    archive.run({ startedMs: at(2), positions: { 0: '8:-1 8:9 8:9' }, objects: [{ entries: '8:0-9' }] });
    await expectNoDamage(archive);
    removeRuns(archive, gone);
    const report = await verify(archive);
    expect(damages(report)).toEqual([`manifest ${gone.manifest}`]);
    expect(detailOf(report, 'gap')).toEqual([expect.stringContaining(gone.manifest)]);
  });

  it('behind the newest manifest shows by the run that came after it', async () => {
    const archive = steadyRule();
    const last = archive.runs[9] as DocumentedRun;
    removeRuns(archive, last);
    // Nothing that is left knows of it.
    expect((await verify(archive)).findings).toEqual([]);
    const moved = [0, 1].map((partition) => ({
      ...{ partition, topic: `${TOPIC}-partition-${partition}`, direction: 'forwards' },
      ...{ from: '7:89', to: '7:99', entriesAtMost: 10 },
    }));
    const position = '7:99 7:109 7:109';
    archive.run({
      ...steadyRun(10),
      previous: archive.runs[8]?.manifest,
      positions: { 0: position, 1: position },
      moved,
    });
    const report = await verify(archive);
    expect(damages(report)).toEqual([]);
    expect(report.partitions.map(({ passedOver }) => passedOver.entries)).toEqual([10, 10]);
  });
});

async function expectNoDamage(archive: DocumentedArchive, options: object = {}): Promise<VerifyReport> {
  const report = await verify(archive, options);
  expect(damages(report)).toEqual([]);
  return report;
}

describe('a manifest', () => {
  it('that was changed is named, with the one that saw it as it was', async () => {
    const archive = steadyRule();
    const { manifest } = archive.runs[4] as DocumentedRun;
    archive.change(manifest, (text) => text.replace('caught_up', 'deadline'));
    const report = await verify(archive);
    expect(damages(report)).toEqual([`manifest ${manifest}`]);
    expect(detailOf(report, 'manifest')[0]).toContain(archive.runs[5]?.manifest);
  });

  it('that was changed is named by a run whose clock is behind, too', async () => {
    const archive = documentedArchive();
    const { manifest } = archive.run({ ...steadyRun(0), startedMs: at(0, 10) });
    const namer = archive.run({ ...steadyRun(1), startedMs: at(0, 5) });
    await expectNoDamage(archive);
    archive.change(manifest, (text) => text.replace('caught_up', 'deadline'));
    const report = await verify(archive);
    expect(damages(report)).toEqual([`manifest ${manifest}`]);
    expect(detailOf(report, 'manifest')[0]).toContain(namer.manifest);
  });

  it('that was changed to hide an object that is gone hides nothing', async () => {
    const archive = steadyRule();
    const { manifest, objects } = archive.runs[4] as DocumentedRun;
    archive.remove(objects[0] as string);
    archive.change(manifest, (text) => {
      const content = JSON.parse(text);
      content.storedObjects.shift();
      return JSON.stringify(content);
    });
    const report = await verify(archive);
    expect(damages(report)).toEqual([`lost ${archive.runs[5]?.objects[0]}`, `manifest ${manifest}`].sort());
  });

  it('that was changed is named once, however many runs saw it as it was', async () => {
    const archive = documentedArchive();
    const { manifest } = archive.run(steadyRun(0));
    for (const minutes of [60, 61, 62])
      archive.run({ startedMs: at(0, minutes), positions: { 0: '7:9' }, previous: manifest, beside: [] });
    archive.change(manifest, (text) => text.replace('caught_up', 'deadline'));
    expect(damages(await verify(archive))).toEqual([`manifest ${manifest}`]);
  });

  it('that another instance left is held against its MD5, since the next run has not read it', async () => {
    const archive = documentedArchive();
    const [beside, newest] = [0, 1].map((partition) =>
      archive.run({
        ...{ startedMs: at(0, partition), type: 'failover', previous: undefined, beside: [] },
        positions: { 0: '7:-1 7:9', 1: '7:-1 7:9' },
        objects: [{ partition, entries: '7:0-9' }],
      }),
    ) as [DocumentedRun, DocumentedRun];
    const { bytes } = archive.store.objects.get(beside.manifest) as { bytes: Buffer };
    const md5 = createHash('md5').update(bytes).digest('hex');
    archive.run({
      ...{ startedMs: at(0, 10), type: 'failover', previous: newest.manifest, beside: [beside.manifest] },
      ...{ positions: { 0: '7:9', 1: '7:9' }, more: { besideMd5: { [beside.manifest]: md5 } } },
    });
    await expectSound(archive);
    archive.remove(beside.objects[0] as string);
    archive.change(beside.manifest, (text) => text.replace(/"storedObjects":\[.*?\]/, '"storedObjects":[]'));
    expect(damages(await verify(archive))).toEqual([
      `lost ${TOPIC}-partition-0`,
      `manifest ${beside.manifest}`,
    ]);
  });

  it('that is of another run by its content is named, and a mere copy is no damage', async () => {
    const archive = steadyRule();
    const [older, newest] = [archive.runs[3], archive.runs[9]] as [DocumentedRun, DocumentedRun];
    const put = (key: string, from: string) =>
      archive.store.objects.set(key, { ...archive.store.objects.get(from), key } as never);
    const second = older.manifest.replace('.json', ' (1).json');
    put(second, older.manifest);
    const copied = await verify(archive);
    expect(damages(copied)).toEqual([]);
    expect(reported(copied, 'notice')).toEqual([`manifest ${second}`]);
    archive.remove(second);
    put(newest.manifest, older.manifest);
    expect(damages(await verify(archive))).toEqual([`manifest ${newest.manifest}`]);
  });

  it('that is no manifest any more is named once', async () => {
    const archive = steadyRule();
    const { manifest } = archive.runs[4] as DocumentedRun;
    archive.change(manifest, (text) => text.slice(0, -20));
    const report = await verify(archive);
    expect(new Set(damages(report))).toEqual(new Set([`manifest ${manifest}`]));
    expect(report.damagedObjects).toBe(1);
  });

  it('is found in a copy under another prefix', async () => {
    const archive = steadyRule();
    const copy = documentedArchive();
    for (const [key, object] of archive.store.objects) {
      const other = key.replace(PREFIX, '');
      copy.store.objects.set(other, { ...object, key: other });
    }
    const report = await verifyArchive(copy.store, '', { level: 'record', knowsMetadata: false });
    expect(report.findings).toEqual([]);
    copy.store.objects.delete((archive.runs[4] as DocumentedRun).manifest.replace(PREFIX, ''));
    expect(damages(await verifyArchive(copy.store, '', { level: 'list', knowsMetadata: false }))).toEqual([
      `manifest ${archive.runs[4]?.manifest.replace(PREFIX, '')}`,
    ]);
  });

  it('that comes while the archive is looked at is not called missing, nor are its objects', async () => {
    const archive = steadyRule();
    const late = archive.runs[8] as DocumentedRun;
    const kept = new Map(
      [late.manifest, ...late.objects].map((key) => [key, archive.store.objects.get(key)]),
    );
    for (const key of kept.keys()) archive.store.objects.delete(key);
    archive.store.hook = (when, call) => {
      if (when !== 'before' || call !== 'read') return;
      for (const [key, object] of kept) if (object) archive.store.objects.set(key, object);
    };
    expect(damages(await verify(archive)).filter((one) => !one.startsWith('lost'))).toEqual([]);
  });
});

describe('several instances', () => {
  /** Two instances at every tick, each with one partition; both see where the other's stood, too. */
  function twoInstances(more: { beside?: boolean } = {}): DocumentedArchive {
    const archive = documentedArchive();
    let seen: [string, string] | undefined;
    for (let tick = 0; tick < 6; tick++) {
      const { startedMs, positions } = steadyRun(tick);
      const entries = `7:${tick * 10}-${tick * 10 + 9}`;
      const runs = [0, 1].map((partition) =>
        archive.run({
          ...{ startedMs: startedMs + partition * 2_000, durationMs: 30_000, type: 'failover' },
          ...{ name: `r-${tick}-${partition}`, previous: seen?.[1] },
          ...(positions && { positions }),
          objects: [{ partition, entries }],
          ...(more.beside && seen && { beside: [seen[0]] }),
        }),
      );
      seen = runs.map(({ manifest }) => manifest) as [string, string];
    }
    return archive;
  }

  it.each([true, false])('are joined, without a word (beside: %s)', async (beside) => {
    await expectSound(twoInstances({ beside }));
  });

  it.each([
    ['that a later run names', 5, true],
    ['that a later run names, in an archive from before `beside`', 5, false],
    ['of a side branch', 4, true],
    ['of a side branch that nobody names', 4, false],
  ])('do not cover for a manifest that went with its object, %s', async (_what, index, beside) => {
    const archive = twoInstances({ beside });
    const gone = archive.runs[index] as DocumentedRun;
    removeRuns(archive, gone);
    const report = await verify(archive);
    const partition = index % 2;
    expect(damages(report)).toEqual(
      [
        `lost ${archive.runs[index + 2]?.objects[0]}`,
        ...(index === 4 && !beside ? [] : [`manifest ${gone.manifest}`]),
      ].sort(),
    );
    expect(report.partitions[partition]?.lost).toEqual({ places: 1, entries: 10 });
    expect(report.partitions[1 - partition]?.lost).toEqual({ places: 0, entries: 0 });
  });

  it('that came later are not doubted for one that is gone', async () => {
    const archive = twoInstances({ beside: true });
    const more = { durationMs: 30_000, type: 'failover', beside: [] };
    const gone = archive.run({
      ...more,
      startedMs: at(3),
      positions: { 0: '7:59 7:69', 1: '7:59 7:59' },
      objects: [{ entries: '7:60-69' }],
    });
    const still = { 1: '7:59 7:59' };
    archive.run({ ...more, startedMs: at(3, 5), positions: { 0: '7:69 7:69', ...still } });
    // Aborted, and no message.
    archive.run({ ...more, startedMs: at(3, 10), positions: { 0: '7:69 7:73', ...still } });
    removeRuns(archive, gone);
    const report = await verify(archive);
    expect(report.partitions[0]).toMatchObject({ lost: { entries: 10 }, withoutMessage: { entries: 4 } });
  });

  it('may leave ids without a message, which is no loss', async () => {
    const archive = twoInstances({ beside: true });
    const [first, last] = [60, 79];
    for (const partition of [0, 1])
      archive.run({
        ...{ startedMs: at(3) + partition * 2_000, durationMs: 30_000, type: 'failover' },
        positions: Object.fromEntries([0, 1].map((one) => [one, `7:${first - 1} 7:${last} 7:${last}`])),
        objects: [],
        beside: [],
        name: `aborted-${partition}`,
      });
    const report = await expectNoDamage(archive);
    expect(report.partitions.map(({ withoutMessage }) => withoutMessage)).toEqual([
      { places: 1, entries: 20 },
      { places: 1, entries: 20 },
    ]);
    expect(report.findings).toEqual([]);
  });
});

describe('three kinds of gap', () => {
  it('are distinguished', async () => {
    const archive = steadyRule();
    const moved = [
      {
        partition: 0,
        topic: `${TOPIC}-partition-0`,
        direction: 'forwards',
        from: '7:99',
        to: '7:119',
        entriesAtMost: 20,
      },
    ];
    // The subscription lost twenty; then markers and an aborted transaction lie between objects and behind them.
    const run = archive.run({
      startedMs: at(5),
      positions: { 0: '7:119 7:149 7:149', 1: '7:99 7:99 7:99' },
      objects: [{ entries: '7:120-129' }, { entries: '7:133-139' }],
      moved,
    });
    const gone = archive.run({
      startedMs: at(6),
      positions: { 0: '7:149 7:159 7:159', 1: '7:99 7:99 7:99' },
      objects: [{ entries: '7:150-159' }],
    });
    const last = archive.run({
      startedMs: at(7),
      positions: { 0: '7:159 7:169 7:169', 1: '7:99 7:99 7:99' },
      objects: [{ entries: '7:160-169' }],
    });
    const before = await expectNoDamage(archive);
    expect(before.findings).toMatchObject([{ kind: 'passed-over', key: run.manifest, severity: 'notice' }]);
    expect(detailOf(before, 'passed-over')[0]).toContain('20 entries at most between 7:99 and 7:120');
    removeRuns(archive, gone);
    const report = await verify(archive);
    expect(report.partitions[0]).toMatchObject({
      passedOver: { places: 1, entries: 20 },
      withoutMessage: { places: 2, entries: 13 },
      lost: { places: 1, entries: 10 },
      unknown: { places: 0, entries: 0 },
    });
    expect(damages(report)).toEqual([`lost ${last.objects[0]}`, `manifest ${gone.manifest}`].sort());
  });

  it('what was passed over while a run drained is no loss of the archive', async () => {
    const archive = steadyRule();
    archive.run({
      startedMs: at(5),
      positions: { 0: '7:99 7:139 7:139' },
      objects: [{ entries: '7:100-109' }],
      moved: [{ partition: 0, direction: 'forwards', from: '7:109', to: '7:139', entriesAtMost: 30 }],
    });
    const report = await expectNoDamage(archive);
    expect(report.partitions[0]).toMatchObject({
      passedOver: { entries: 30 },
      withoutMessage: { entries: 0 },
    });
  });

  it('an entry that was kept raw is in none', async () => {
    const archive = steadyRule();
    archive.run({
      startedMs: at(5),
      positions: { 0: '7:99 7:102 7:102' },
      objects: [{ entries: '7:100-101' }],
    });
    const raw = `${PREFIX}_unreadable/t/ns/orders/partition=0/000000000007-0000000102.bin`;
    archive.store.objects.set(raw, {
      key: raw,
      bytes: Buffer.from('x'),
      metadata: {},
      contentType: '',
      crc64: '',
    });
    const report = await expectNoDamage(archive);
    expect(report.findings.map(({ kind }) => kind)).toEqual(['unreadable']);
    expect(report.partitions[0]?.withoutMessage.entries).toBe(0);
  });
});

describe('no loss is claimed', () => {
  it('of a run that was killed, whose objects are there', async () => {
    const archive = documentedArchive();
    for (const run of [0, 1, 2, 3]) archive.run({ ...steadyRun(run), isKilled: run === 2 });
    await expectSound(archive);
  });

  it('of a run that was killed, whose object of several parts says nothing of its end', async () => {
    const archive = documentedArchive();
    for (const run of [0, 1, 2, 3]) {
      const { objects = [], ...rest } = steadyRun(run);
      archive.run({
        ...rest,
        objects: objects.map((one) => ({ ...one, isMultipart: run === 2 })),
        isKilled: run === 2,
      });
    }
    await expectSound(archive);
  });

  it('of a killed run between whose objects a transaction was aborted', async () => {
    const archive = documentedArchive();
    archive.run(steadyRun(0));
    archive.run({
      startedMs: at(1),
      objects: [{ entries: '7:10-14' }, { entries: '7:17-19' }],
      isKilled: true,
    });
    archive.run({ startedMs: at(2), positions: { 0: '7:19 7:29 7:29' }, objects: [{ entries: '7:20-29' }] });
    const report = await expectNoDamage(archive);
    expect(report.partitions[0]).toMatchObject({ unknown: { places: 1, entries: 2 } });
  });

  it('of a rule that got another name, nor of one with another subscription', async () => {
    const archive = documentedArchive();
    for (const run of [0, 1, 2]) archive.run({ ...steadyRun(run), rule: 'z-first-name' });
    for (const run of [3, 4, 5]) archive.run({ ...steadyRun(run), rule: 'a-second-name' });
    for (const run of [6, 7])
      archive.run({ ...steadyRun(run), rule: 'a-second-name', subscription: 'other' });
    await expectSound(archive);
  });

  it('of several rules under one prefix', async () => {
    const archive = documentedArchive();
    for (let run = 0; run < 6; run++) {
      archive.run({ ...steadyRun(run), rule: 'orders' });
      archive.run({ ...steadyRun(run, 20), rule: 'bills', topic: 't/ns/bills' });
    }
    const report = await expectSound(archive);
    expect(report.chain.heads.map(({ rule }) => rule)).toEqual(['bills', 'orders']);
    await expectSound(archive, { topic: parseTopicName('t/ns/bills') });
    // What is gone of another topic is not asked for.
    removeRuns(archive, archive.runs[4] as DocumentedRun);
    await expectSound(archive, { topic: parseTopicName('t/ns/bills') });
    expect(damages(await verify(archive, { topic: parseTopicName('t/ns/orders') }))).toHaveLength(3);
  });

  it('of partitions that were added', async () => {
    const archive = steadyRule();
    archive.run({
      startedMs: at(5),
      positions: { 0: '7:99 7:99 7:99', 1: '7:99 7:99 7:99', 2: '9:-1 9:9 9:9', 3: '10:-1 10:4 10:4' },
      objects: [
        { partition: 2, entries: '9:0-9' },
        { partition: 3, entries: '10:0-4' },
      ],
    });
    archive.run({
      startedMs: at(6),
      positions: { 2: '9:9 9:19 9:19' },
      objects: [{ partition: 2, entries: '9:10-19' }],
    });
    await expectSound(archive);
  });

  it.each(['below', 'above'])('of a topic that was deleted and made anew, with ledgers %s', async (where) => {
    const archive = steadyRule();
    const ledgerId = where === 'below' ? 3 : 30;
    for (let run = 0; run < 4; run++)
      archive.run({
        ...steadyRun(run, ledgerId),
        startedMs: at(5 + run),
        ...(run === 0 &&
          where === 'below' && {
            moved: [0, 1].map((partition) => ({
              partition,
              direction: 'backwards',
              from: '7:99',
              to: '3:-1',
            })),
          }),
      });
    await expectSound(archive);
  });

  it('of a subscription that was reset backwards', async () => {
    const archive = documentedArchive();
    for (const run of [0, 1, 2]) archive.run(steadyRun(run));
    archive.run({
      ...steadyRun(1),
      startedMs: at(2),
      moved: [{ partition: 0, direction: 'backwards', from: '7:29', to: '7:9' }],
    });
    archive.run({ ...steadyRun(2), startedMs: at(3) });
    archive.run({ ...steadyRun(3), startedMs: at(4) });
    await expectNoDamage(archive);
  });

  it('where `archive index` and `archive recover` left manifests of their own', async () => {
    const archive = documentedArchive();
    for (const run of [0, 1, 2, 3]) archive.run({ ...steadyRun(run), isKilled: run === 1 });
    const entries = { partition: 0, entries: '7:10-19', publishedMs: at(0, 59) };
    archive.run({ startedMs: at(1, 61), name: 'archive-index', objects: [entries], isOld: true });
    archive.run({
      startedMs: at(1, 62),
      name: 'archive-recover',
      objects: [],
      isOld: true,
      more: { recovered: [] },
    });
    archive.run({ ...steadyRun(4), previous: archive.runs[3]?.manifest });
    await expectSound(archive);
  });

  it('of a quiet rule that leaves a manifest now and then', async () => {
    const archive = documentedArchive();
    archive.run(steadyRun(0));
    const still = { 0: '7:9 7:9 7:9', 1: '7:9 7:9 7:9' };
    for (let day = 1; day < 4; day++) archive.run({ startedMs: at(day), positions: still });
    archive.run({ ...steadyRun(1), startedMs: at(4) });
    const report = await expectNoDamage(archive);
    expect(report.findings.map(({ kind }) => kind)).toEqual(['empty-day', 'empty-day']);
    expect(detailOf(report, 'empty-day')[0]).toContain('days 2026-11-02 to 2026-11-04');
  });

  it('where a ledger was read to its end, closed and trimmed', async () => {
    const archive = documentedArchive();
    archive.run(steadyRun(0));
    const more = { objects: [{ entries: '8:0-9' }] };
    archive.run({ startedMs: at(1), positions: { 0: '8:-1 8:9 8:9', 1: '7:9 7:9 7:9' }, ...more });
    archive.run({ startedMs: at(2), positions: { 0: '8:9 12:-1', 1: '13:-1 13:-1' } });
    await expectNoDamage(archive);
  });

  it('of runs that could not look at those before them', async () => {
    const archive = documentedArchive();
    for (const run of [0, 1, 2, 3]) archive.run({ ...steadyRun(run), previous: undefined });
    await expectSound(archive);
  });

  it('of a Shared subscription, whose messages come in any order', async () => {
    const archive = documentedArchive();
    for (let run = 0; run < 4; run++) {
      const [first, last] = [run * 10, run * 10 + 9];
      archive.run({
        startedMs: at(run),
        type: 'shared',
        positions: { 0: `7:${first - 1} 7:${last} 7:${last + 3}` },
        objects: [
          { entries: `7:${first + (run > 0 ? 3 : 0)}-${last + 3}`, but: [last] },
          { entries: `7:${last}-${last}` },
        ],
      });
    }
    await expectNoDamage(archive);
  });
});

describe('an archive from before', () => {
  it('is looked at as far as it says something', async () => {
    const archive = documentedArchive();
    for (const run of [0, 1, 2]) archive.run({ ...steadyRun(run), isOld: true });
    const first = await expectSound(archive);
    expect(first.chain).toMatchObject({ manifests: 3, followed: 0 });
    expect(first.chain).not.toHaveProperty('from');
    expect(first.partitions[0]).not.toHaveProperty('followed');
    removeRuns(archive, archive.runs[1] as DocumentedRun);
    const report = await verify(archive);
    expect(damages(report)).toEqual([]);
    expect(report.findings.map(({ kind }) => kind)).toEqual(['gap', 'gap']);
  });

  it('is followed from the first run on that says where the subscription was', async () => {
    const archive = documentedArchive();
    for (let run = 0; run < 6; run++)
      archive.run({ ...steadyRun(run), ...(run < 3 && { isOld: true, previous: undefined }) });
    const report = await expectSound(archive);
    expect(report.chain).toMatchObject({ manifests: 6, followed: 3, from: '2026-11-02T13:00:00.000Z' });
    expect(report.partitions[0]?.followed).toEqual({ after: '7:29', through: '7:59' });
    removeRuns(archive, archive.runs[2] as DocumentedRun);
    const damaged = await verify(archive);
    expect(damages(damaged)).toEqual([`manifest ${archive.runs[2]?.manifest}`]);
  });
});

describe('objects', () => {
  it('that no manifest names are counted', async () => {
    const archive = steadyRule();
    expect(await verify(archive)).toMatchObject({ objects: 20, unlisted: 0 });
    const { manifest } = archive.runs[4] as DocumentedRun;
    archive.remove(manifest);
    expect(await verify(archive)).toMatchObject({ objects: 20, unlisted: 2 });
  });

  it('that are cut are no ids without a message, and those with another id hide no loss behind them', async () => {
    const archive = steadyRule();
    const [cut, other, lost] = [archive.runs[2], archive.runs[4], archive.runs[6]] as DocumentedRun[];
    archive.change(cut?.objects[0] as string, (text) => text.slice(0, text.indexOf('\n') + 1));
    archive.change(other?.objects[0] as string, (text) => text.replace('"7:49:0:-1"', '"7:999:0:-1"'));
    removeRuns(archive, lost as DocumentedRun);
    const report = await verify(archive, { level: 'record' });
    expect(report.partitions[0]).toMatchObject({ withoutMessage: { entries: 0 }, lost: { entries: 10 } });
    expect(damages(report)).toContain(`lost ${archive.runs[7]?.objects[0]}`);
    expect(new Set(damages(report).map((one) => one.split(' ')[1]))).toEqual(
      new Set([...[cut?.objects[0], other?.objects[0], lost?.manifest], ...(archive.runs[7]?.objects ?? [])]),
    );
  });

  it('of a day before the first that is asked for are no ids without a message', async () => {
    const archive = documentedArchive();
    for (let run = 0; run < 4; run++)
      archive.run({
        startedMs: at(run) - 12 * 3_600_000,
        positions: { 0: `7:${run * 10 - 1} 7:${run * 10 + 9}` },
        objects: [{ partition: 0, entries: `7:${run * 10}-${run * 10 + 9}` }],
      });
    const report = await verify(archive, { from: '2026-11-03' });
    expect(report.findings).toEqual([]);
    expect(report.partitions[0]).toMatchObject({ withoutMessage: { entries: 0 } });
  });

  it('behind the newest manifest are mentioned', async () => {
    const archive = steadyRule();
    const killed = archive.run({ ...steadyRun(10), isKilled: true });
    const report = await expectNoDamage(archive);
    expect(reported(report, 'notice')).toEqual(killed.objects.map((key) => `unlisted ${key}`));
  });
});

it('where a manifest is gone and each run has a ledger of its own, no finding counts 0 entries', async () => {
  const archive = documentedArchive();
  for (let run = 0; run < 5; run++) {
    const ledger = 12 + run;
    archive.run({
      startedMs: at(run),
      positions: { 0: `${run === 0 ? '12:-1' : `${ledger - 1}:4`} ${ledger}:4` },
      objects: [{ partition: 0, entries: `${ledger}:0-4` }],
    });
  }
  archive.remove((archive.runs[2] as DocumentedRun).manifest);
  const details = detailOf(await verify(archive), 'gap');
  expect(details).toEqual([expect.stringContaining('entries, or none, between ')]);
});
