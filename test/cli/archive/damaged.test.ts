// Objects that hold less than they should: cat and restore fail and name them, or go on and name them. A copy without
// manifests and metadata has only what the objects say by themselves.
import { execFileSync } from 'node:child_process';
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { expectWhole } from '../../../src/cli/archive/damaged.ts';
import { main } from '../../../src/cli/main.ts';
import { type LoopbackStage, startLoopbackStage } from '../../stage/loopback-stage.ts';
import { testTerminal } from '../terminal.ts';

const TOPIC = 'public/default/whole';
let rule: LoopbackStage;
let bucket: string;

beforeAll(async () => {
  rule = await startLoopbackStage();
  rule.broker.createTopic(TOPIC);
  rule.broker.createTopic('public/default/replay');
  rule.broker.publish(
    TOPIC,
    Array.from({ length: 15 }, (_, i) => ({ payload: `message ${i}` })),
  );
  rule.env['PULSAR_TOPIC'] = TOPIC;
  for (const FILE_COMPRESSION of ['none'])
    expect(
      await main(['run'], testTerminal({ ...rule.env, FILE_COMPRESSION, FILE_MAX_MESSAGES: '5' }).terminal),
    ).toBe(0);
  const [object] = rule.cos.objects();
  bucket = object?.file?.slice(0, -object.key.length) as string;
});
afterAll(() => rule.close());

const folders: string[] = [];
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true });
});

/** A copy of the archive, with the path of its second object. */
function copy({ manifests }: { manifests: boolean }) {
  const folder = mkdtempSync(join(tmpdir(), 'tdmq-backup-damaged-'));
  folders.push(folder);
  cpSync(join(bucket, 'tdmq'), folder, { recursive: true });
  if (!manifests) rmSync(join(folder, '_runs'), { recursive: true });
  const [, path = ''] = readdirSync(folder, { recursive: true })
    .map(String)
    .filter((one) => one.endsWith('.jsonl'))
    .sort();
  return { folder, key: path, file: join(folder, path) };
}

async function archive(...args: string[]) {
  const { terminal, out, err } = testTerminal();
  const code = await main(['archive', ...args], terminal);
  return { code, out: out(), lines: out().split('\n').slice(0, -1), err: err() };
}

const lines = (file: string) => readFileSync(file, 'utf8').match(/.*\n/g) as string[];

describe.each([
  ['with manifests', true, ' (3 of 5 messages)'],
  ['without manifests and metadata', false, ''],
])('%s', (_, manifests, count) => {
  it.each(['cat', 'cat --format value'])(
    '%s names an object that is cut at the end of a line, and fails',
    async (command) => {
      const { folder, key, file } = copy({ manifests });
      writeFileSync(file, lines(file).slice(0, 3).join(''));
      const { code, err } = await archive(...command.split(' '), '--folder', folder);
      expect(code).toBe(1);
      expect(err).toContain(`${key}: is cut`);
      expect(err).toContain(count);
      expect(err).toContain('--skip-damaged');
    },
  );

  it('and goes on with --skip-damaged, exit code 1 all the same', async () => {
    const { folder, key, file } = copy({ manifests });
    writeFileSync(file, lines(file).slice(0, 3).join(''));
    const { code, lines: printed, err } = await archive('cat', '--skip-damaged', '--folder', folder);
    expect({ code, printed: printed.length }).toEqual({ code: 1, printed: 13 });
    expect(err).toContain(`✗ ${key}: is cut`);
  });

  it('an empty object is no object of no messages', async () => {
    const { folder, key, file } = copy({ manifests });
    writeFileSync(file, '');
    const { code, err } = await archive('cat', '--folder', folder);
    expect(code).toBe(1);
    expect(err).toContain(`${key}: it holds no record`);
    const skipped = await archive('cat', '--skip-damaged', '--folder', folder);
    expect({ code: skipped.code, printed: skipped.lines.length }).toEqual({ code: 1, printed: 10 });
  });

  it('verify finds both', async () => {
    const { folder, file } = copy({ manifests });
    writeFileSync(file, lines(file).slice(0, 3).join(''));
    expect((await archive('verify', '--folder', folder)).code).toBe(1);
    writeFileSync(file, '');
    expect((await archive('verify', '--folder', folder)).code).toBe(1);
  });

  it('what is whole is read as before', async () => {
    const { code, lines: printed, err } = await archive('cat', '--folder', copy({ manifests }).folder);
    expect({ code, printed: printed.length, err }).toEqual({ code: 0, printed: 15, err: '' });
  });
});

it('an object from before, without marks, that is cut is found by its manifest', async () => {
  const { folder, key, file } = copy({ manifests: true });
  writeFileSync(
    file,
    lines(file)
      .slice(0, 3)
      .map((line) => `${line.trimEnd()}\n`)
      .join(''),
  );
  const { code, err } = await archive('cat', '--folder', folder);
  expect(code).toBe(1);
  expect(err).toContain(`${key}: it is not whole (3 of 5 messages)`);
});

it('an object that manifests name and that is gone fails cat and restore, and is named with --skip-damaged', async () => {
  const { folder, key, file } = copy({ manifests: true });
  rmSync(file);
  const { code, err, lines: printed } = await archive('cat', '--folder', folder);
  expect({ code, printed }).toEqual({ code: 1, printed: [] });
  expect(err).toContain(`${key}: it is in a manifest, and is not there (0 of 5 messages)`);
  const skipped = await archive('cat', '--skip-damaged', '--folder', folder);
  expect({ code: skipped.code, printed: skipped.lines.length }).toEqual({ code: 1, printed: 10 });
  expect(skipped.err).toContain(`${key}: it is in a manifest`);
});

it('an object that manifests name and that is gone makes the exit code of ls 1, which names it', async () => {
  const { folder, key, file } = copy({ manifests: true });
  expect((await archive('ls', '--folder', folder)).code).toBe(0);
  rmSync(file);
  const text = await archive('ls', '--folder', folder);
  expect(text.code).toBe(1);
  expect(text.out).toMatch(/1 objects are in manifests, but not there: archive verify\n {2}.*/);
  expect(text.out).toContain(key);
  const json = await archive('ls', '--json', '--folder', folder);
  expect(json.code).toBe(1);
  expect(JSON.parse(json.out)).toMatchObject({ totals: { objects: 2, missing: 1 } });
});

it.each(['jsonl', 'jsonl.gz', 'jsonl.zst'])(
  'an empty %s is damage to verify at every level, whatever else is lost',
  async (extension) => {
    const { folder, file } = copy({ manifests: false });
    const [, name = ''] = /^(.*)\.jsonl$/.exec(basename(file)) ?? [];
    rmSync(file);
    writeFileSync(join(dirname(file), `${name}.${extension}`), '');
    for (const level of ['list', 'object', 'record']) {
      const { code, out } = await archive('verify', '--level', level, '--folder', folder);
      expect(code, level).toBe(1);
      expect(out, level).toContain('it has 0 bytes');
    }
  },
);

it('verify mentions ids that are left out inside an object of a copy without manifests', async () => {
  const { folder, key, file } = copy({ manifests: false });
  expect((await archive('verify', '--folder', folder)).out).not.toContain('ids are left out');
  writeFileSync(file, lines(file).toSpliced(2, 1).join(''));
  const { out } = await archive('verify', '--folder', folder);
  expect(out).toContain(key);
  expect(out).toContain('between its records ids are left out in 1 places');
});

it('restore ends at damage, and with --skip-damaged publishes the rest and names it', async () => {
  const { folder, key, file } = copy({ manifests: true });
  writeFileSync(file, lines(file).slice(0, 3).join(''));
  const restore = async (...args: string[]) => {
    const { terminal, out, err } = testTerminal(rule.env);
    const all = [
      'archive',
      'restore',
      '--folder',
      folder,
      '--to',
      'public/default/replay',
      '--json',
      ...args,
    ];
    return { code: await main(all, terminal), report: JSON.parse(out()), err: err() };
  };
  const failed = await restore();
  expect(failed.code).toBe(1);
  expect(failed.report.error).toMatchObject({
    code: 'corrupt',
    message: expect.stringContaining('3 of 5 messages'),
  });
  const skipped = await restore('--skip-damaged');
  expect(skipped.code).toBe(1);
  expect(skipped.report).toMatchObject({ messages: 13, damaged: [{ reason: expect.stringContaining(key) }] });
});

it('cat prints what comes before the damaged object', async () => {
  const { folder, file } = copy({ manifests: true });
  writeFileSync(file, lines(file).slice(0, 3).join(''));
  const { code, lines: printed } = await archive('cat', '--folder', folder);
  expect(code).toBe(1);
  expect(printed.length).toBeGreaterThanOrEqual(5);
  for (const line of printed) expect(() => JSON.parse(line)).not.toThrow();
});

it.each([
  ['a folder', (file: string) => mkdirSync(file)],
  ['a pipe', (file: string) => execFileSync('bash', ['-c', 'mkfifo "$0"', file])],
])('%s in the place of an object is no object', async (_, put) => {
  const { folder, key, file } = copy({ manifests: true });
  rmSync(file);
  put(file);
  for (const command of ['cat', 'verify']) {
    const { code, lines: printed, err } = await archive(command, '--folder', folder);
    expect(code).toBe(1);
    expect(`${printed.join('\n')}${err}`).toContain(key);
  }
});

it('files of a desktop or of a broken download between the manifests are no damage', async () => {
  const { folder } = copy({ manifests: true });
  const [path = ''] = readdirSync(folder, { recursive: true })
    .map(String)
    .filter((one) => one.startsWith('_runs') && one.endsWith('.json'));
  const name = basename(path);
  for (const other of ['.DS_Store', `._${name}`, `${name}.part`])
    writeFileSync(join(folder, dirname(path), other), 'x');
  for (const above of ['_runs', dirname(dirname(path))]) writeFileSync(join(folder, above, '.DS_Store'), 'x');
  const { code, lines: printed } = await archive('verify', '--json', '--folder', folder);
  expect(code).toBe(0);
  const { findings } = JSON.parse(printed.join('\n'));
  expect(findings.map(({ kind }: { kind: string }) => kind)).toEqual(Array(5).fill('foreign'));
});

it.each(['/nowhere/at/all', 'itself'])('a link to %s is an object without records', async (target) => {
  for (const manifests of [true, false]) {
    const { folder, key, file } = copy({ manifests });
    rmSync(file);
    symlinkSync(target === 'itself' ? basename(file) : target, file);
    for (const command of ['cat', 'verify', 'cat --skip-damaged']) {
      const { code, lines: printed, err } = await archive(...command.split(' '), '--folder', folder);
      expect(code).toBe(1);
      expect(`${printed.join('\n')}${err}`).toContain(key);
    }
  }
});

it('a folder of a copy that cannot be listed is named, and is not at COS', async () => {
  const { folder } = copy({ manifests: false });
  symlinkSync('_runs', join(folder, '_runs'));
  const { terminal, err } = testTerminal();
  expect(await main(['archive', 'ls', '--folder', folder], terminal)).toBe(1);
  expect(err()).toMatch(/archive ls failed: cannot list .*\/_runs/);
});

it('names an object once that is met twice, as an export reads one for each of its days', () => {
  const { damaged, onDamaged } = expectWhole({ prefix: '', missing: [] }, {}, true);
  for (const reason of ['cut', 'cut again']) onDamaged?.({ key: 'k', reason });
  expect(damaged).toEqual([{ key: 'k', reason: 'cut' }]);
});
