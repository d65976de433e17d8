// Runs once before the tests of a project: temporary files go to a folder of this run, which is removed after it. It is
// in memory where the machine has room there: tests make thousands of folders, and a disk is slow to remove them.
import { chmodSync, mkdtempSync, rmSync, statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const MEMORY = '/dev/shm';
/** Tests take a tenth of it at a time. */
const MIN_FREE_BYTES = 2 ** 31;

let folder: string | undefined;

/** Called by vitest before it starts the processes of the tests, which inherit the environment. */
export function setup(): void {
  folder = mkdtempSync(join(hasRoom(MEMORY) ? MEMORY : tmpdir(), 'tdmq-backup-tests-'));
  // As the system's own: some tests start a process of another user.
  chmodSync(folder, 0o1777);
  process.env['TMPDIR'] = folder;
}

/** Called by vitest when all tests are over. */
export function teardown(): void {
  if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
}

function hasRoom(path: string): boolean {
  try {
    const { bavail, bsize } = statfsSync(path);
    return bavail * bsize >= MIN_FREE_BYTES;
  } catch {
    return false;
  }
}
