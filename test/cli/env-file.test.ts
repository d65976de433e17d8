// The settings file: what editors and shells make of it is read, and a line that would get lost is a failure.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { readEnvFile } from '../../src/cli/env-file.ts';

const folder = mkdtempSync(join(tmpdir(), 'tdmq-backup-env-'));
afterAll(() => rmSync(folder, { recursive: true }));

function read(content: string | Buffer) {
  const path = join(folder, '.env');
  writeFileSync(path, content);
  return readEnvFile(path);
}

it.each<[string, string | Buffer]>([
  ['a byte order mark', '\ufeffCOS_PREFIX=a/\nRULE_NAME=r\n'],
  ['CRLF', 'COS_PREFIX=a/\r\nRULE_NAME="r"\r\n'],
  ['CR alone', 'COS_PREFIX=a/\rRULE_NAME=r'],
  ['export, spaces and comments', '# c\n\n  export COS_PREFIX = a/ # why\nRULE_NAME=\'r\' # "x"\n  \t\n'],
  ['the same line twice', 'COS_PREFIX=a/\nRULE_NAME=r\nCOS_PREFIX=a/\n'],
])('%s', (_, content) => {
  expect(read(content)).toEqual({ COS_PREFIX: 'a/', RULE_NAME: 'r' });
});

it('a quoted value may go over several lines', () => {
  expect(read('KEY="a\nB=c\n"\nCOS_PREFIX=a/\n')).toEqual({ KEY: 'a\nB=c\n', COS_PREFIX: 'a/' });
});

const utf16 = (text: string) => Buffer.from(`\ufeff${text}`, 'utf16le');
it.each<[string, string | Buffer, string]>([
  ['UTF-16 with a byte order mark', utf16('COS_PREFIX=a/\r\n'), 'UTF-16'],
  ['UTF-16 of the other order', utf16('COS_PREFIX=a/\r\n').swap16(), 'UTF-16'],
  ['UTF-16 without a mark', Buffer.from('COS_PREFIX=a/', 'utf16le'), 'UTF-16'],
  ['Latin-1', Buffer.from('COS_PREFIX=caf\xe9/', 'latin1'), 'no UTF-8'],
  ['a line without =', 'RULE_NAME=r\nCOS_PREFIX a/\n', 'line 2'],
  ['a last line without =', 'RULE_NAME=r\nCOS_PREFIX', 'line 2'],
  ['a mark in the middle', 'RULE_NAME=r\n\ufeffCOS_PREFIX=a/\n', 'line 2'],
  ['a name that two lines set otherwise', 'COS_PREFIX=a/\nA="\n"\nCOS_PREFIX=b/\n', 'line 1 and in line 4'],
  ['a quote that does not end', 'A="x\nCOS_PREFIX=a/\n', 'line 1'],
  ['text behind a quote', 'A="x" y\n', 'line 1'],
])('%s is refused', (_, content, what) => {
  const error = (() => {
    try {
      return read(content);
    } catch (thrown) {
      return thrown;
    }
  })();
  expect(error).toMatchObject({ code: 'config', message: expect.stringContaining(what) });
});
