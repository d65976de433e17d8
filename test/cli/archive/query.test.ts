// SQL over an archive and over tables of it: answers in each format, and nothing else than answers.
import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { main } from '../../../src/cli/main.ts';
import { encodeKeptSchema, keepSchema, schemaKey, schemaName } from '../../../src/format/kept-schema.ts';
import { packageRoot } from '../../../src/packaging/package-root.ts';
import { parseTopicName, type TopicName } from '../../../src/topic-name.ts';
import { message, messages } from '../../archive/archive-fixture.ts';
import { testTerminal } from '../terminal.ts';
import { emptyArchive, query as readBack } from './exported.ts';

async function command(...args: string[]) {
  const { terminal, out, err } = testTerminal();
  const code = await main(['archive', 'query', ...args], terminal);
  return { code, out: out(), err: err() };
}

const SQL = 'SELECT "partition", count(*) AS messages FROM messages GROUP BY 1 ORDER BY 1';

it('answers over an archive as over tables of it, without a trace in either', async () => {
  const archive = emptyArchive();
  await archive.store([messages(0, 0, 9), messages(0, 5, 14), messages(1, 0, 4)]);
  const table = 'partition  messages\n        0        15\n        1         5\n';
  const before = readdirSync(dirname(archive.archive), { recursive: true });
  expect(await command(SQL, '--folder', archive.archive)).toEqual({ code: 0, out: table, err: '' });
  expect(readdirSync(dirname(archive.archive), { recursive: true })).toEqual(before);
  expect((await archive.run('export', '--to', archive.tables)).code).toBe(0);
  const exported = readdirSync(archive.tables, { recursive: true });
  expect(await command(`${SQL}; -- all`, '--tables', archive.tables)).toEqual({
    code: 0,
    out: table,
    err: '',
  });
  expect(readdirSync(archive.tables, { recursive: true })).toEqual(exported);
});

it('selects before it makes tables', async () => {
  const archive = emptyArchive();
  await archive.store([messages(0, 0, 9)]);
  const { out } = await command(
    'SELECT id FROM messages',
    '--folder',
    archive.archive,
    '--key',
    'k1',
    '--format',
    'csv',
  );
  expect(out).toBe('id\n7:1:0:-1\n7:4:0:-1\n7:7:0:-1\n');
});

it('has the views runs and schemas of an archive, and of tables as the last export found them', async () => {
  const archive = emptyArchive();
  await archive.store([messages(0, 0, 9)]);
  const topic = parseTopicName('t/ns/orders') as TopicName;
  const version = Buffer.alloc(8);
  const schema = { type: 'STRING', name: 's', properties: [], definition: Buffer.from('') };
  const path = join(archive.archive, schemaKey('', topic, schemaName(version)));
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, encodeKeptSchema(keepSchema(topic, version, schema)));
  await archive.run('export', '--to', archive.tables);
  for (const place of [
    ['--folder', archive.archive],
    ['--tables', archive.tables],
  ]) {
    const at = [...place, '--format', 'jsonl'];
    const runs = await command('SELECT rule, messages, started_at FROM runs', ...at);
    expect(JSON.parse(runs.out)).toMatchObject({ rule: 'orders-backup', messages: 10 });
    const schemas = await command('SELECT version, type, topic FROM schemas', ...at);
    expect(JSON.parse(schemas.out)).toEqual({
      version: '0',
      type: 'STRING',
      topic: 'persistent://t/ns/orders',
    });
    const joined = await command('SELECT count(*) AS n FROM messages, runs WHERE entry_id < 4', ...at);
    expect(JSON.parse(joined.out)).toEqual({ n: 4 });
  }
  await archive.store([messages(0, 10, 14)]);
  const sum = ['SELECT sum(messages) AS n FROM runs', '--format', 'csv'] as const;
  expect((await command(...sum, '--folder', archive.archive)).out).toBe('n\n15\n');
  expect((await command(...sum, '--tables', archive.tables)).out).toBe('n\n10\n');
  await archive.run('export', '--to', archive.tables);
  expect((await command(...sum, '--tables', archive.tables)).out).toBe('n\n15\n');
  rmSync(join(archive.tables, '_export'), { recursive: true });
  const none = await command(...sum, '--tables', archive.tables);
  expect(none).toMatchObject({ code: 1, err: expect.stringContaining('do not have the view runs') });
});

it('writes all rows to a file, exact in each format', async () => {
  const archive = emptyArchive();
  await archive.store([[message(0, 0, { sequenceId: 2n ** 64n - 1n, payload: Buffer.from('a,"b"\n') })]]);
  const at = ['--folder', archive.archive];
  const sql = 'SELECT sequence_id, value FROM messages';
  expect((await command(sql, ...at, '--format', 'jsonl')).out).toBe(
    '{"sequence_id":18446744073709551615,"value":"a,\\"b\\"\\n"}\n',
  );
  expect((await command(sql, ...at, '--format', 'csv')).out).toBe(
    'sequence_id,value\n18446744073709551615,"a,""b""\n"\n',
  );
  const out = join(dirname(archive.archive), 'out.parquet');
  expect((await command(sql, ...at, '--format', 'parquet', '--out', out)).code).toBe(0);
  expect(await readBack(`SELECT sequence_id FROM '${out}'`)).toEqual([
    { sequence_id: '18446744073709551615' },
  ]);
});

describe('of SQL', () => {
  const archive = emptyArchive();
  beforeAll(async () => {
    await archive.store([messages(0, 0, 2)]);
    await archive.run('export', '--to', archive.tables);
  });

  it.each([
    ['COPY (SELECT 1) TO $OUT', 'refuses'],
    ['ATTACH $OUT', 'a SELECT'],
    ['SET threads = 1', 'a SELECT'],
    ['EXPLAIN ANALYZE COPY (SELECT 1) TO $OUT', 'refuses'],
    ['EXPLAIN SELECT 1', 'a SELECT'],
    ['CREATE TABLE t AS SELECT 1', 'a SELECT'],
    ['SELECT 1) TO $OUT (FORMAT csv); --', 'refuses'],
    ['SELECT 1; SELECT 2', 'one statement'],
    ["SELECT * FROM read_text('/etc/passwd')", 'disabled by configuration'],
    ["SELECT * FROM read_parquet('http://127.0.0.1:1/x.parquet')", 'disabled by configuration'],
    ['SELECT nothing FROM messages', 'nothing'],
    ['', 'empty'],
  ])('refuses %s', async (sql, reason) => {
    const out = join(archive.tables, 'written');
    const { code, err } = await command(sql.replace('$OUT', `'${out}'`), '--tables', archive.tables);
    expect({ code, isWritten: existsSync(out) }).toEqual({ code: 1, isWritten: false });
    expect(err).toContain(reason);
  });
});

it('shows a value for what it is, and no code of a terminal', async () => {
  const archive = emptyArchive();
  await archive.store([[message(0, 0, { payload: Buffer.from('\u001b[31mred\r\n') })]]);
  const { terminal, out } = testTerminal();
  const stdout = Object.assign(terminal.stdout, { isTTY: true });
  for (const format of ['table', 'csv', 'jsonl'])
    await main(
      ['archive', 'query', 'SELECT value FROM messages', '--folder', archive.archive, '--format', format],
      {
        ...terminal,
        stdout,
      },
    );
  expect(out()).toContain('red');
  expect(out()).not.toContain('\u001b');
});

it('fails at damage as cat does, and where there is nothing', async () => {
  const archive = emptyArchive();
  const [object] = await archive.store([messages(0, 0, 9)]);
  const path = join(archive.archive, (object?.key ?? '').replace('tdmq/', ''));
  writeFileSync(path, readFileSync(path).subarray(0, 100));
  const failed = await command(SQL, '--folder', archive.archive);
  expect({ code: failed.code, err: failed.err }).toEqual({ code: 1, err: expect.stringContaining('orders') });
  expect((await command(SQL, '--tables', archive.archive)).code).toBe(1);
  expect((await command('SELECT 1 FROM messages', '--folder', archive.archive, '--key', 'none')).code).toBe(
    1,
  );
});

it('says how it is called', async () => {
  const wrong = [
    [],
    ['a', 'b'],
    [SQL, '--format', 'xml'],
    [SQL, '--format', 'parquet'],
    [SQL, '--tables', 't', '--key', 'k'],
  ];
  for (const args of wrong) expect((await command(...args)).code).toBe(2);
});

it.each([
  ['export', '--to', 'tables'],
  ['query', 'SELECT 1'],
])('says what to install where DuckDB is missing: %s', (...args) => {
  const folder = mkdtempSync(join(tmpdir(), 'tdmq-backup-hidden-'));
  const hook = join(folder, 'hide.cjs');
  writeFileSync(
    hook,
    `const Module = require('node:module');
     const resolve = Module._resolveFilename;
     Module._resolveFilename = function (name, ...rest) {
       if (name.startsWith('@duckdb/')) throw Object.assign(new Error('Cannot find module'), { code: 'MODULE_NOT_FOUND' });
       return resolve.call(this, name, ...rest);
     };`,
  );
  const bin = join(packageRoot(import.meta.url), 'src/cli/tdmq-backup.ts');
  const { status, stderr } = spawnSync(
    process.execPath,
    ['--require', hook, '--import', 'tsx', bin, 'archive', ...args, '--folder', folder],
    { encoding: 'utf8', cwd: packageRoot(import.meta.url) },
  );
  rmSync(folder, { recursive: true });
  expect(status).toBe(1);
  expect(stderr).toContain('DuckDB is not installed');
  expect(stderr).toContain('npm install @duckdb/node-api');
});
