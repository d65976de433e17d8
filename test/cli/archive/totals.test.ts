// Totals of an archive in which the count of one object is not known: the others are counted all the same.
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, test } from 'vitest';
import { main } from '../../../src/cli/main.ts';
import { testTerminal } from '../terminal.ts';

const golden = fileURLToPath(new URL('../../fixtures/golden/v1', import.meta.url));
const copy = mkdtempSync(join(tmpdir(), 'tdmq-backup-unknown-'));
afterAll(() => rmSync(copy, { recursive: true }));

test('one object of unknown count leaves the total a number', async () => {
  cpSync(golden, copy, { recursive: true });
  const day = join(copy, 't/ns/orders/date=2026-11-23');
  const record = readFileSync(join(day, 'partition=2/000000000012-0000000000-00000.jsonl'), 'utf8');
  const [line = ''] = record.split('\n');
  mkdirSync(join(day, 'partition=5'));
  writeFileSync(
    join(day, 'partition=5/000000000012-0000000000-00000.jsonl'),
    `${line.replaceAll('12:0:2:', '12:0:5:').replace('partition-2', 'partition-5')}\n`,
  );
  const run = async (...args: string[]) => {
    const { terminal, out } = testTerminal();
    expect(await main(['archive', ...args, '--folder', copy], terminal)).toBe(0);
    return out();
  };
  expect(await run('ls')).toMatch(/^22 messages in 6 objects, 1 unknown, /m);
  expect(JSON.parse(await run('ls', '--json')).totals).toMatchObject({
    messages: 22,
    objects: 6,
    unknown: 1,
  });
  expect(await run('verify', '--level', 'list')).toMatch(
    /22 messages in 6 objects, 1 unknown, .*: no damage/,
  );
  expect(JSON.parse(await run('verify', '--level', 'list', '--json'))).toMatchObject({
    messages: 22,
    unknown: 1,
  });
});
