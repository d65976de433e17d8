// Files of a copy as objects: in the order of a bucket, with what links lead to, and without what is no file.
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { createFolderStore } from '../../../src/archive/catalog/folder-store.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tdmq-backup-folder-'));
  for (const path of ['a/b/1', 'a/b/2/3', 'a/b0', 'a/c/1']) {
    mkdirSync(join(folder, path, '..'), { recursive: true });
    writeFileSync(join(folder, path), path);
  }
});
afterEach(() => rmSync(folder, { recursive: true }));

async function keys(prefix = '', startAfter?: string): Promise<string[]> {
  const found: string[] = [];
  const options = startAfter === undefined ? {} : { startAfter };
  for await (const { key } of createFolderStore(folder).list(prefix, options)) found.push(key);
  return found;
}

it('lists in the order of whole keys, below a prefix and behind a key', async () => {
  expect(await keys()).toEqual(['a/b/1', 'a/b/2/3', 'a/b0', 'a/c/1']);
  expect(await keys('a/b')).toEqual(['a/b/1', 'a/b/2/3', 'a/b0']);
  expect(await keys('', 'a/b/2/3')).toEqual(['a/b0', 'a/c/1']);
  expect(await keys('a/b/', 'a/b/1')).toEqual(['a/b/2/3']);
  expect(await keys('none/')).toEqual([]);
});

it('follows links, also in a circle, and passes over what is no file', async () => {
  mkdirSync(join(folder, 'elsewhere'));
  writeFileSync(join(folder, 'elsewhere/4'), 'x');
  symlinkSync('../elsewhere', join(folder, 'a/link'));
  symlinkSync('../elsewhere/4', join(folder, 'a/file'));
  symlinkSync('../nowhere', join(folder, 'a/broken'));
  symlinkSync('self', join(folder, 'a/self'));
  execFileSync('bash', ['-c', 'mkfifo "$0"', join(folder, 'a/pipe')]);
  const files = ['a/b/1', 'a/b/2/3', 'a/b0', 'a/broken', 'a/c/1', 'a/file', 'a/link/4', 'a/self'];
  expect(await keys('a/')).toEqual(files);
  symlinkSync('..', join(folder, 'a/round'));
  expect((await keys('a/')).length).toBeGreaterThan(6);
});

it('lists more folders than it asks for one by one, and ends at Ctrl-C', async () => {
  const paths = Array.from({ length: 40 }, (_, i) => `many/${String(i).padStart(2, '0')}`);
  for (const path of paths) {
    mkdirSync(join(folder, path), { recursive: true });
    writeFileSync(join(folder, path, 'x'), 'x');
  }
  const store = createFolderStore(folder);
  const stop = new AbortController();
  const found: string[] = [];
  for await (const { key } of store.list('many/', { signal: stop.signal })) found.push(key);
  expect(found).toEqual(paths.map((path) => `${path}/x`));
  await expect(async () => {
    for await (const _ of store.list('many/', { signal: stop.signal })) stop.abort(new Error('stopped'));
  }).rejects.toThrow('stopped');
  await expect(async () => {
    for await (const _ of store.listFolder('many/', { signal: stop.signal }));
  }).rejects.toThrow('stopped');
});

it('passes over what only the system may look into at the root of a disk, and nothing else', () => {
  const list = () => {
    const script = `
      const { createFolderStore } = await import(process.argv[1]);
      for await (const { key } of createFolderStore(process.argv[2]).list('')) console.log(key);`;
    const module = new URL('../../../src/archive/catalog/folder-store.ts', import.meta.url).href;
    const node = [process.execPath, '--import', 'tsx', '--input-type=module', '-e', script, module, folder];
    // Nothing is closed to root, unless it gives that up.
    const without = ['setpriv', '--bounding-set=-dac_override,-dac_read_search'];
    const [command = '', ...args] = process.getuid?.() === 0 ? [...without, ...node] : node;
    const output = execFileSync(command, args, { encoding: 'utf8', stdio: 'pipe' });
    return output.trim().split('\n');
  };
  for (const name of ['lost+found', '.Trashes', 'System Volume Information'])
    mkdirSync(join(folder, name), { mode: 0o000 });
  expect(list()).toEqual(['a/b/1', 'a/b/2/3', 'a/b0', 'a/c/1']);
  mkdirSync(join(folder, 'a/lost+found'), { mode: 0o000 });
  expect(list).toThrow('permission denied');
});

it('says of a file that went after it was listed that it is gone, as COS does of an object', async () => {
  const store = createFolderStore(folder);
  rmSync(join(folder, 'a/b0'));
  await expect(async () => {
    for await (const _ of store.read('a/b0'));
  }).rejects.toMatchObject({ code: 'store', details: { code: 'NoSuchKey' } });
});
