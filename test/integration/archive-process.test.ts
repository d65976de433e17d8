// The archive commands as processes: in a real pipe whose reader goes, killed in the middle of a verification, and the
// memory they take of a small and of a large archive.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { parseConfig } from '../../src/config.ts';
import { createCosStore } from '../../src/cos/store.ts';
import { bundleCli } from '../../src/packaging/bundle.ts';
import { packageRoot } from '../../src/packaging/package-root.ts';
import { parseTopicName, type TopicName } from '../../src/topic-name.ts';
import { runArchive } from '../bench/archive-commands.ts';
import { type Filled, fillArchive } from '../bench/archive-fill.ts';
import { silentLogger } from '../fakes/loggers.ts';
import { createTopic } from './broker/topics.ts';
import { atCall } from './kill-points.ts';
import { startCommand } from './restore-under-test.ts';
import { useBroker } from './use-broker.ts';
import { ruleEnv, useCos } from './use-cos.ts';

const TOPIC = parseTopicName('bench/archive/orders') as TopicName;
const MB = 1_000_000;
/** What memory may differ by where it does not grow: garbage that is not collected yet. */
const NOISE_MB = 60;

const cos = useCos();
const broker = useBroker();
const root = packageRoot(import.meta.url);
const filled = new Map<string, Filled>();

beforeAll(async () => {
  await bundleCli(root, join(root, 'dist/cli'));
  for (const [name, megabytes] of [
    ['small', 50],
    ['large', 400],
  ] as const) {
    const store = createCosStore(parseConfig(envOf(name)).cos, { logger: silentLogger });
    const options = { bytes: megabytes * MB, partitions: 4, largeMessages: 300 };
    filled.set(name, await fillArchive(store, `${name}/`, TOPIC, options));
    await store.close();
  }
});

const envOf = (name: string): Record<string, string> =>
  ruleEnv(cos(), broker().serviceUrl, TOPIC.full, { COS_PREFIX: `${name}/` });

/** The same archive as files. */
function copyOf(name: string): string[] {
  const object = cos()
    .objects()
    .find(({ key }) => key.startsWith(`${name}/`));
  const folder = join(object?.file?.slice(0, -object.key.length) as string, name);
  return ['--folder', folder, '--topic', TOPIC.full];
}

describe('in a real pipe', () => {
  /** Runs a line of bash; `archive …` in it is the command. */
  async function bash(line: string, env: Record<string, string>) {
    const program = `'${process.execPath}' '${join(root, 'dist/cli/tdmq-backup.js')}' archive`;
    const script = `${line.replaceAll(/(?<=^|\| )archive(?= )/g, program)}; echo "codes \${PIPESTATUS[*]}"`;
    const child = spawn('bash', ['--norc', '-c', script], { env: { PATH: process.env['PATH'], ...env } });
    const texts = { out: '', err: '' };
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      texts.out += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      texts.err += text;
    });
    await new Promise((resolve) => child.on('close', resolve));
    return texts;
  }

  it.each([
    ['the bucket', () => []],
    ['a local copy', () => copyOf('small')],
  ])('cat of %s ends cleanly when head has seen enough', async (_, where) => {
    const args = where().map((arg) => `'${arg}'`);
    const { out, err } = await bash(`archive cat ${args.join(' ')} | head -n 3`, envOf('small'));
    const lines = out.trimEnd().split('\n');
    expect(lines.at(-1)).toBe('codes 0 0');
    expect(lines.slice(0, -1).map((line) => JSON.parse(line).id)).toEqual([
      '12:0:0:-1',
      '12:0:1:-1',
      '12:0:2:-1',
    ]);
    expect(err).toBe('');
  });

  it.each([
    ['cat --format value | true', 'codes 0 0'],
    ['cat --format table | head -c 1 >/dev/null', 'codes 0 0'],
    ['ls --objects | true', 'codes 0 0'],
    ['verify --level list --json | true', 'codes 0 0'],
  ])('archive %s: nothing is reported as a failure', async (line, codes) => {
    const { out, err } = await bash(`archive ${line}`, envOf('small'));
    expect(out).toBe(`${codes}\n`);
    expect(err).toBe('');
  });

  it('damage is the exit code of verify, also where nobody reads its report', async () => {
    const env = envOf('damaged');
    const store = createCosStore(parseConfig(env).cos, { logger: silentLogger });
    await fillArchive(store, 'damaged/', TOPIC, { bytes: MB, partitions: 1 });
    const [object] = cos()
      .objects()
      .filter(({ key }) => /^damaged\/.*jsonl$/.test(key));
    await store.admin.remove(object?.key as string);
    await store.close();
    const { out, err } = await bash('archive verify --level list | true', env);
    expect(out).toBe('codes 1 0\n');
    expect(err).toBe('');
  });

  it('a full disk is a failure, and is reported', async () => {
    const { out, err } = await bash('archive cat >/dev/full', envOf('small'));
    expect(out).toBe('codes 1\n');
    expect(err).toMatch(/^tdmq-backup: standard output cannot be written: .*ENOSPC.*\n$/);
  });
});

it('a verification that was killed goes on where it stopped, and finds the same', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'tdmq-backup-state-'));
  try {
    const reads = () =>
      cos()
        .requests()
        .filter(({ kind, key }) => kind === 'get' && key.endsWith('.jsonl')).length;
    const verify = ['archive', 'verify', '--json', '--parallel', '2'];
    const whole = await startCommand(verify, envOf('large')).outcome;
    const { objects = 0 } = filled.get('large') ?? {};
    const state = ['--state', join(folder, 'state.jsonl')];
    let read = reads();
    for (const nth of [15, 20]) {
      const run = startCommand([...verify, ...state], envOf('large'));
      const takeAway = atCall('get', '.jsonl', nth)({ cos: cos(), broker: undefined as never }, run.kill9);
      expect((await run.outcome).code).toBe(null);
      takeAway();
    }
    const before = reads() - read;
    read = reads();
    const last = await startCommand([...verify, ...state], envOf('large')).outcome;
    expect(last.code, last.err).toBe(0);
    // All but when it was.
    const found = (out: string) => ({ ...JSON.parse(out), startedAt: '', endedAt: '' });
    expect(found(last.out)).toEqual(found(whole.out));
    expect(JSON.parse(last.out)).toMatchObject({ objects, findings: [] });
    // At most the two objects that were under way at each kill are read twice.
    expect(reads() - read + before).toBeLessThanOrEqual(objects + 2 * 2);
    expect(reads() - read).toBeLessThan(objects - 20);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

describe('the memory of an archive eight times as large is that of the small one', () => {
  const places = ['small', 'large'] as const;

  it.each([
    ['ls', ['ls', '--json'], undefined],
    ['verify', ['verify', '--json'], undefined],
    ['cat', ['cat'], 'wc -l'],
    ['restore', ['restore', '--json', '--to'], undefined],
  ])('%s', async (name, args, into) => {
    const peaks: number[] = [];
    for (const place of places) {
      const target = name === 'restore' ? [await createTopic(broker(), `restored-${place}`, 4)] : [];
      const { output, peakRssBytes } = await runArchive([...args, ...target], envOf(place), into);
      const told =
        into === undefined ? (JSON.parse(output).totals ?? JSON.parse(output)).messages : Number(output);
      expect(told).toBe(filled.get(place)?.messages);
      peaks.push(peakRssBytes / MB);
    }
    console.info(`peak memory of ${name}: ${peaks.map((peak) => peak.toFixed(0)).join(' and ')} MB`);
    expect((peaks[1] as number) - (peaks[0] as number)).toBeLessThan(NOISE_MB);
  });
});
