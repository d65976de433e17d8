// The owner of a lock or a draft: a process, by its pid where pids are comparable, and whether it has ended.
import { createHash } from 'node:crypto';
import { readFileSync, readlinkSync } from 'node:fs';
import { hostname } from 'node:os';

/**
 * Names where a pid means one process: this machine since it was started, and of its containers this one. Several may have
 * one host name, which has to do elsewhere than on Linux.
 */
export const pidSpace = (): string =>
  createHash('sha256')
    .update([hostname(), ...onLinux()].join('\n'))
    .digest('hex')
    .slice(0, 12);

function onLinux(): string[] {
  try {
    return [readFileSync('/proc/sys/kernel/random/boot_id', 'utf8'), readlinkSync('/proc/self/ns/pid')];
  } catch {
    return [];
  }
}

/** Whether there is no process of this number here. */
export function isGone(pid: number): boolean {
  try {
    return !process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ESRCH';
  }
}
