// At a terminal each command on an archive says what it does from its beginning on: what it lists, and what it has read.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { main } from '../../../src/cli/main.ts';
import { testTerminal } from '../terminal.ts';

const folder = mkdtempSync(join(tmpdir(), 'tdmq-backup-progress-'));
const DAY = 'public/default/orders/date=2026-11-23/partition=0';

beforeAll(() => {
  mkdirSync(join(folder, DAY), { recursive: true });
  for (let object = 0; object < 3; object++) {
    const lines = Array.from(
      { length: 2_000 },
      (_, i) =>
        `{"id":"${object}:${i}:0:-1","topic":"persistent://public/default/orders-partition-0","publishTime":"2026-11-23T10:00:00.000Z","value":"${'x'.repeat(300)}"}\n`,
    );
    const name = `${String(object).padStart(12, '0')}-0000000000-00000.jsonl`;
    writeFileSync(join(folder, DAY, name), lines.join(''));
  }
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function progressOf(args: readonly string[]): Promise<{ lines: string[]; out: string }> {
  const { terminal, out } = testTerminal();
  const written: string[] = [];
  const stderr = Object.assign(new PassThrough(), { isTTY: true, columns: 100 });
  stderr.on('data', (chunk: Buffer) => written.push(chunk.toString()));
  expect(await main(['archive', ...args, '--folder', folder], { ...terminal, stderr })).toBe(0);
  return { lines: written.map((one) => one.replace('\r\u001b[2K', '')), out: out() };
}

test.each([['ls'], ['cat'], ['verify'], ['index'], ['recover']])(
  '%s begins with what it does, and leaves nothing of it',
  async (...args) => {
    const { lines } = await progressOf(args);
    expect(lines[0]).toBe('listing the archive');
    expect(lines.at(-1)).toBe('');
  },
);

test('nothing of it is in the output, nor in a pipe', async () => {
  const { out } = await progressOf(['cat']);
  expect(out.split('\n')).toHaveLength(6_001);
  const { terminal, err } = testTerminal();
  expect(await main(['archive', 'cat', '--folder', folder], terminal)).toBe(0);
  expect(err()).toBe('');
});
