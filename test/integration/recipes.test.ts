// The recipes of docs/recipes.md, as they are on the page: each runs over an archive that the product wrote, with what
// breaks engines that guess, and finds what `archive cat` finds. Needs Python, PyPI, and Java for Spark.
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, test } from 'vitest';
import { main } from '../../src/cli/main.ts';
import { bundleCli } from '../../src/packaging/bundle.ts';
import { packageRoot } from '../../src/packaging/package-root.ts';
import { testTerminal } from '../cli/terminal.ts';
import { pythonWith } from './python.ts';
import { ORDERS, PLAIN, writeRecipesArchive } from './recipes-archive.ts';
import { runCommand } from './run-command.ts';

const root = packageRoot(import.meta.url);
const page = readFileSync(join(root, 'docs/recipes.md'), 'utf8');
/** The recipes of the page, by their first line. */
const recipes = new Map(
  [...page.matchAll(/```python\n# (.*)\n([\s\S]*?)```/g)].map(([, title = '', code = '']) => [title, code]),
);
const ENGINES = ['DuckDB', 'pandas', 'polars', 'pyarrow', 'ClickHouse (chdb)', 'Spark'];
const MANIFESTS = 'DuckDB: the manifests as a table';

const folder = mkdtempSync(join(tmpdir(), 'tdmq-backup-recipes-'));
let python: string;

beforeAll(async () => {
  await bundleCli(root, join(root, 'dist/cli'));
  await writeRecipesArchive(join(folder, 'copy'));
  python = await pythonWith('engines.txt');
}, 1_000_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function archive(...args: string[]): Promise<string> {
  const { terminal, out, err } = testTerminal();
  expect(await main(['archive', ...args, '--folder', join(folder, 'copy')], terminal), err()).toBe(0);
  return out();
}

/** What the code printed that Python has run in the folder of the copy. */
const inPython = (args: readonly string[], input: string) =>
  runCommand('sh', ['-c', `cd '${folder}' && exec "$@"`, 'sh', python, ...args], {
    input,
    timeoutMs: 300_000,
    env: {
      ...process.env,
      // Spark with one thread, on this machine alone.
      SPARK_LOCAL_IP: '127.0.0.1',
      PYSPARK_SUBMIT_ARGS: '--master local[1] --conf spark.ui.enabled=false pyspark-shell',
    },
  });

interface Row {
  readonly topic: string;
  readonly id: string;
}
const byId = (rows: readonly Row[]) =>
  rows.toSorted((a, b) => (`${a.topic} ${a.id}` < `${b.topic} ${b.id}` ? -1 : 1));
const jsonLines = (text: string) =>
  text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line));

/** The records as `archive cat` prints them, with what recipes make of them. */
async function expectedRows(): Promise<Row[]> {
  const rows: Row[] = [];
  for (const topic of [ORDERS, PLAIN] as const) {
    const { objects } = JSON.parse(await archive('ls', '--json', '--topic', topic as string));
    for (const { date, partition, firstId, lastId } of objects) {
      const ids = ['--from-id', firstId, '--until-id', lastId];
      for (const record of jsonLines(await archive('cat', '--topic', topic as string, ...ids)))
        rows.push({
          ...{ topic, id: record.id, date, partition: partition < 0 ? 'none' : String(partition) },
          ...{ key: record.key ?? null, properties: record.properties ?? {} },
          ...{ value: record.value ?? null, valueBase64: record.valueBase64 ?? null },
          isTombstone: record.value === null,
          amount: amountOf(record.value),
        } as Row);
    }
  }
  return byId(rows);
}

function amountOf(value: string | null | undefined): string | null {
  try {
    const { amount } = JSON.parse(value ?? '');
    return typeof amount === 'number' ? amount.toFixed(2) : null;
  } catch {
    return null;
  }
}

test('the page has a recipe for each engine, and none that is not run', () => {
  expect([...recipes.keys()].toSorted()).toEqual([...ENGINES, MANIFESTS].toSorted());
  expect(page.match(/```python/g)).toHaveLength(ENGINES.length + 1);
});

test('the archive has what breaks engines that guess', async () => {
  const rows = (await expectedRows()) as (Row & Record<string, unknown>)[];
  expect(rows).toHaveLength(150);
  expect(rows.filter(({ isTombstone }) => isTombstone).length).toBeGreaterThan(10);
  expect(rows.filter(({ valueBase64 }) => valueBase64 !== null).length).toBeGreaterThan(10);
  expect(rows.filter(({ amount }) => amount !== null).length).toBeGreaterThan(30);
  expect(new Set(rows.map(({ partition }) => partition))).toEqual(new Set(['0', '1', '2', 'none']));
  expect(rows.some(({ date }) => date === '2026-11-22')).toBe(false);
});

test.each(ENGINES)(
  '%s finds in both topics what archive cat finds, and nothing on an empty day',
  async (engine) => {
    const script = join(import.meta.dirname, 'recipes.py');
    const printed = await inPython(
      [script, ORDERS as string, PLAIN as string],
      recipes.get(engine) as string,
    );
    const [days, rows] = [jsonLines(printed).filter((one) => 'emptyDay' in one), jsonLines(printed)];
    expect(byId(rows.filter((one) => 'id' in one))).toEqual(await expectedRows());
    expect(days).toEqual([{ emptyDay: 0 }, { emptyDay: 0 }]);
  },
  400_000,
);

test('the manifests as a table have the objects and messages that archive ls reports', async () => {
  const code = `${recipes.get(MANIFESTS)}
import json
print(json.dumps([dict(zip(perDay.columns, map(str, row))) for row in perDay.fetchall()]))`;
  const found: Record<'date' | 'objects' | 'messages' | 'bytes' | 'rule', string>[] = JSON.parse(
    await inPython(['-'], code),
  );
  const expected = new Map<string, Record<string, number>>();
  for (const { topic, date, messages, size } of JSON.parse(await archive('ls', '--json')).objects) {
    const name = `${topic.split('/').at(-1)}-backup ${date}`;
    const sum = expected.get(name) ?? { objects: 0, messages: 0, bytes: 0 };
    expected.set(name, {
      objects: (sum['objects'] as number) + 1,
      messages: (sum['messages'] as number) + messages,
      bytes: (sum['bytes'] as number) + size,
    });
  }
  expect(
    new Map(
      found.map(({ rule, date, objects, messages, bytes }) => [
        `${rule} ${date}`,
        { objects: Number(objects), messages: Number(messages), bytes: Number(bytes) },
      ]),
    ),
  ).toEqual(expected);
});

describe('the verification of every night', () => {
  const [, script = ''] = /```sh\n(#!\/bin\/sh\n# nightly-verify\.sh[\s\S]*?)```/.exec(page) ?? [];
  let bin: string;
  beforeAll(async () => {
    bin = join(folder, 'bin');
    await mkdir(bin);
    const shim = join(bin, 'tdmq-backup');
    writeFileSync(
      shim,
      `#!/bin/sh\nexec '${process.execPath}' '${join(root, 'dist/cli/tdmq-backup.js')}' "$@"\n`,
    );
    chmodSync(shim, 0o755);
  });

  const night = (text = script) => {
    const env = { ...process.env, PATH: `${bin}:${process.env['PATH']}` };
    const { status, stdout, stderr } = spawnSync('sh', ['-c', text], { cwd: folder, env, encoding: 'utf8' });
    return { code: status, printed: stdout + stderr };
  };

  it('prints nothing while all is well, also with the report of the night before', () => {
    expect(night()).toEqual({ code: 0, printed: '' });
    const [report = ''] = readdirSync(folder).filter((name) => /^audit-.*\.json$/.test(name));
    writeFileSync(join(folder, 'audit-2026-01-01.json'), readFileSync(join(folder, report)));
    expect(night()).toEqual({ code: 0, printed: '' });
  });

  it('tells damage, what could not be verified and a wrong call apart', async () => {
    const nowhere = night(script.replace('--folder copy', '--folder nowhere'));
    expect(nowhere.code).toBe(1);
    expect(nowhere.printed).toMatch(/^could not be verified:\n.*nowhere/);
    const wrong = night(script.replace('--folder copy', '--folder copy --wrong'));
    expect(wrong.code).toBe(2);
    expect(wrong.printed).toMatch(/^the call is wrong:\n.*--wrong/);
    const [path = ''] = readdirSync(join(folder, 'copy'), { recursive: true })
      .map(String)
      .filter((one) => one.endsWith('.jsonl.zst'));
    rmSync(join(folder, 'copy', path));
    const damaged = night();
    expect(damaged.code).toBe(1);
    expect(damaged.printed).toMatch(/^damage or loss, see audit-.*\.html:\n/);
    expect(damaged.printed).toContain(path);
    expect(existsSync(join(folder, /audit-\S+\.html/.exec(damaged.printed)?.[0] ?? ''))).toBe(true);
  });
});
