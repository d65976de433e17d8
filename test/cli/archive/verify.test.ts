// `archive verify` on the command line: what it files, and what it compares with an earlier report.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { main } from '../../../src/cli/main.ts';
import { packageRoot, packageVersion } from '../../../src/packaging/package-root.ts';
import {
  at,
  type DocumentedArchive,
  documentedArchive,
  PREFIX,
} from '../../archive/chain/documented-archive.ts';
import { testTerminal } from '../terminal.ts';

const TOPIC = 'persistent://t/ns/orders';
let folder: string;
let archive: DocumentedArchive;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tdmq-backup-verify-'));
  archive = documentedArchive();
  for (let run = 0; run < 4; run++) {
    const [first, last] = [run * 10, run * 10 + 9];
    archive.run({
      startedMs: at(Math.floor(run / 2), run % 2),
      positions: { 0: `7:${first - 1} 7:${last}`, 1: `7:${first - 1} 7:${last}` },
      objects: [0, 1].map((partition) => ({
        partition,
        entries: `7:${first}-${last}`,
        isMultipart: run === 1,
      })),
    });
  }
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** The archive as a local copy. */
function copy(): string {
  const to = join(folder, 'copy');
  rmSync(to, { recursive: true, force: true });
  for (const [key, { bytes }] of archive.store.objects) {
    const path = join(to, key.slice(PREFIX.length));
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, bytes);
  }
  return to;
}

async function verify(...args: readonly string[]) {
  const { terminal, out, err } = testTerminal();
  const code = await main(['archive', 'verify', '--folder', copy(), ...args], terminal);
  return { code, stdout: out(), stderr: err() };
}

const report = (name: string) => JSON.parse(readFileSync(join(folder, name), 'utf8'));

it.each(['audit', 'audit.json', 'audit.html'])('files a report and a page (--report %s)', async (name) => {
  const { code, stdout } = await verify(
    '--report',
    join(folder, name),
    '--topic',
    't/ns/orders',
    '--level',
    'full',
  );
  expect(code).toBe(0);
  expect(stdout).toContain(join(folder, 'audit.json'));
  expect(readdirSync(folder).sort()).toEqual(['audit.html', 'audit.json', 'copy']);
  const filed = report('audit.json');
  expect(filed).toMatchObject({
    format: 'tdmq-backup-verify/1',
    tool: {
      name: 'tdmq-backup',
      version: packageVersion(packageRoot(import.meta.url)),
      node: process.versions.node,
    },
    archive: join(folder, 'copy'),
    selection: { topic: TOPIC, from: null },
    level: 'record',
    result: 'sound',
    objects: 8,
    messages: 80,
    findings: [],
    chain: { manifests: 4, followed: 4 },
  });
  expect(Date.parse(filed.endedAt)).toBeGreaterThanOrEqual(Date.parse(filed.startedAt));
  expect(filed.days).toMatchObject(
    [0, 1].flatMap((partition) =>
      ['2026-11-01', '2026-11-02'].map((date) => {
        return { topic: TOPIC, partition, date, objects: 2, messages: 20, damage: 0, notices: 0 };
      }),
    ),
  );
  const page = readFileSync(join(folder, 'audit.html'), 'utf8');
  expect(page).toContain('No damage was found');
  const sha256 = createHash('sha256')
    .update(readFileSync(join(folder, 'audit.json')))
    .digest('hex');
  expect(page).toContain(`audit.json, SHA-256 ${sha256}`);
  expect(page).toContain('2026-11-01, partition 0: 2 files');
});

it.each(['list', 'object', 'record'])(
  'has the checksum of a day that sha256sum makes, at level %s',
  async (level) => {
    await verify('--report', join(folder, 'audit'), '--level', level);
    for (const { date, partition, sha256 } of report('audit.json').days) {
      const script = `LC_ALL=C find t/ns/orders/date=${date}/partition=${partition} -type f | sort | xargs sha256sum | sha256sum`;
      const [own] = execFileSync('bash', ['-c', script], {
        cwd: join(folder, 'copy'),
        encoding: 'utf8',
      }).split(' ');
      expect(sha256).toBe(own);
    }
  },
);

it('files what is damaged, with the partition and the day, and exits with 1', async () => {
  const { objects, manifest } = archive.runs[1] as { objects: string[]; manifest: string };
  archive.remove(objects[0] as string, manifest);
  archive.change(archive.runs[2]?.objects[1] as string, (text) => text.replace('message 21', 'message 22'));
  const { code } = await verify('--report', join(folder, 'audit'));
  expect(code).toBe(1);
  const { result, days, findings } = report('audit.json');
  expect(result).toBe('damaged');
  expect(findings.map(({ kind }: { kind: string }) => kind).sort()).toEqual([
    'checksum',
    'checksum',
    'lost',
    'manifest',
  ]);
  const damaged = days.filter(({ damage }: { damage: number }) => damage > 0);
  expect(damaged).toMatchObject([
    { date: '2026-11-02', partition: 0, damage: 1 },
    { date: '2026-11-02', partition: 1, damage: 2 },
  ]);
  const page = readFileSync(join(folder, 'audit.html'), 'utf8');
  expect(page).toContain('Damaged: 3 objects or manifests');
  expect(page).toMatch(/<rect class="cell damaged"/);
});

it('misses the newest runs, objects and manifests, by the report of an earlier verification', async () => {
  await verify('--report', join(folder, 'before'));
  const earlier = join(folder, 'before.json');
  expect((await verify('--earlier', earlier)).code).toBe(0);
  archive.run({ startedMs: at(2), positions: { 0: '7:39 7:49' }, objects: [{ entries: '7:40-49' }] });
  expect((await verify('--earlier', earlier)).code).toBe(0);
  archive.remove(
    ...[3, 4].flatMap((run) => [
      archive.runs[run]?.manifest as string,
      ...(archive.runs[run]?.objects ?? []),
    ]),
  );
  // Nothing that is there names them.
  expect((await verify()).code).toBe(0);
  const { code, stdout } = await verify('--earlier', earlier, '--json');
  expect(code).toBe(1);
  const key = (name: string) => name.slice(PREFIX.length);
  expect(JSON.parse(stdout).findings).toMatchObject([
    { kind: 'manifest', key: key(archive.runs[3]?.manifest as string) },
    { kind: 'missing', key: 't/ns/orders/date=2026-11-02/partition=0/' },
    { kind: 'missing', key: 't/ns/orders/date=2026-11-02/partition=1/' },
  ]);
});

it('finds objects that an earlier report saw with other bytes, and with no manifest to say so', async () => {
  for (const { manifest } of archive.runs) archive.remove(manifest);
  await verify('--report', join(folder, 'before'));
  archive.change(archive.runs[0]?.objects[0] as string, (text) => text.replace('message 3', 'message 4'));
  expect((await verify()).code).toBe(0);
  const { stdout } = await verify('--earlier', join(folder, 'before.json'), '--json');
  expect(JSON.parse(stdout).findings).toMatchObject([
    { kind: 'checksum', key: 't/ns/orders/date=2026-11-01/partition=0/' },
  ]);
});

it('does not miss what is older than --from, where a lifecycle rule removes it', async () => {
  await verify('--report', join(folder, 'before'));
  const old = archive.runs.slice(0, 2);
  archive.remove(...old.flatMap(({ manifest, objects }) => [manifest, ...objects]));
  expect((await verify()).code).toBe(1);
  const args = [
    '--from',
    '2026-11-02',
    '--earlier',
    join(folder, 'before.json'),
    '--report',
    join(folder, 'audit'),
  ];
  expect((await verify(...args)).code).toBe(0);
  expect(report('audit.json')).toMatchObject({
    selection: { from: '2026-11-02' },
    findings: [],
    objects: 4,
    chain: { followed: 2 },
  });
  archive.remove(archive.runs[2]?.objects[0] as string);
  expect((await verify(...args)).code).toBe(1);
});

it('looks at nothing where the report cannot be written, or the earlier one is none', async () => {
  writeFileSync(join(folder, 'other.json'), '{"format":"other"}');
  for (const args of [
    ['--report', join(folder, 'nowhere', 'audit')],
    ['--earlier', join(folder, 'nowhere.json')],
    ['--earlier', join(folder, 'other.json')],
  ]) {
    const { code, stdout, stderr } = await verify(...args);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toMatch(/report/);
  }
  expect(readdirSync(folder).sort()).toEqual(['copy', 'other.json']);
});

it('names a thousand damages, and of more how many there are of each kind', async () => {
  const entries = Array.from({ length: 1_100 }, (_, i) => 40 + i);
  archive.run({
    startedMs: at(2),
    positions: { 0: '7:39 7:1139', 1: '7:39 7:39' },
    objects: entries.map((entry) => ({ partition: 0, entries: `7:${entry}-${entry}` })),
  });
  for (const key of [...archive.store.objects.keys()])
    if (/partition=0\/000000000007-000000(0[1-9]|1)\d+-/.test(key)) archive.store.objects.delete(key);
  const { code, stdout } = await verify('--level', 'list');
  expect(code).toBe(1);
  expect(stdout.match(/^✗ .*jsonl/gm)?.length).toBe(1_000);
  expect(stdout).toMatch(/^ {2}and \d+ more; of all, missing 1,\d{3}.*; --json and --report have them all$/m);
  const report = JSON.parse((await verify('--level', 'list', '--json')).stdout);
  const missing = report.findings.filter(({ kind }: { kind: string }) => kind === 'missing');
  expect(missing.length).toBeGreaterThan(1_000);
});

it('says that there is no manifest, or that objects are in none', async () => {
  const manifests = [...archive.store.objects.keys()].filter((key) => key.includes('/_runs/'));
  expect((await verify()).stdout).not.toContain('in no manifest');
  archive.remove(manifests.at(-1) as string);
  const some = await verify('--report', join(folder, 'audit'));
  expect(some).toMatchObject({ code: 0, stdout: expect.stringContaining('2 objects are in no manifest\n') });
  expect(report('audit.json')).toMatchObject({ unlisted: 2, objects: 8 });
  expect(readFileSync(join(folder, 'audit.html'), 'utf8')).toContain('2 of 8 objects');
  archive.remove(manifests.slice(0, -1));
  expect(await verify()).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/^there is no manifest of a run/m),
  });
});

it.each(['NFC', 'NFD'] as const)(
  'reads a copy whose names a disk has written in another form of Unicode than the archive (%s) has',
  async (form) => {
    const topic = 't/ns/\u00fcber-\u304c'.normalize(form);
    archive = documentedArchive();
    for (let run = 0; run < 2; run++)
      archive.run({
        ...{ startedMs: at(run), topic, rule: 'r\u00e4'.normalize(form) },
        positions: { 0: `7:${run * 5 - 1} 7:${run * 5 + 4}` },
        objects: [{ entries: `7:${run * 5}-${run * 5 + 4}` }],
      });
    const renamed = documentedArchive();
    const other = form === 'NFC' ? 'NFD' : 'NFC';
    for (const [key, object] of archive.store.objects)
      renamed.store.objects.set(key.normalize(other), object);
    for (const own of [archive, renamed]) {
      archive = own;
      expect(await verify('--level', 'record', '--strict')).toMatchObject({
        code: 0,
        stdout: expect.stringMatching(/2 objects, 10 messages.*: no damage.*\n2 of 2 manifests followed/),
      });
      const { terminal, out } = testTerminal();
      const args = ['archive', 'cat', '--folder', copy(), '--topic', topic, '--count'];
      expect(await main(args, terminal)).toBe(0);
      expect(out()).toBe('10\n');
    }
  },
);
