// The contract of Notes, over both of its adapters.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openLocation } from '../../src/cli/archive/location.ts';
import { testTerminal } from '../cli/terminal.ts';
import { startLoopbackStage } from '../stage/loopback-stage.ts';

async function besideFolder() {
  const folder = mkdtempSync(join(tmpdir(), 'tdmq-backup-notes-'));
  const open = () => openLocation({ folder }, testTerminal().terminal);
  return { open, end: async () => rmSync(folder, { recursive: true }) };
}

async function inBucket() {
  const rule = await startLoopbackStage();
  return { open: () => openLocation({}, testTerminal(rule.env).terminal), end: () => rule.close() };
}

describe.each([
  { name: 'beside a copy in a folder', start: besideFolder },
  { name: 'in the bucket', start: inBucket },
])('notes $name', ({ start }) => {
  it('are not there before they are written', async () => {
    const { open, end } = await start();
    const { notes, close } = await open();
    expect(await notes.read('_restores/one.json')).toBeUndefined();
    await close();
    await end();
  });

  it('replace what was at their key, for whoever opens the place later', async () => {
    const { open, end } = await start();
    const first = await open();
    await first.notes.write('_restores/one.json', 'before, and longer: 世界');
    await first.notes.write('_restores/two.json', 'another');
    await first.notes.write('_restores/one.json', 'after: 世界');
    await first.close();
    const later = await open();
    expect(await later.notes.read('_restores/one.json')).toBe('after: 世界');
    expect(await later.notes.read('_restores/two.json')).toBe('another');
    await later.close();
    await end();
  });
});
