// Whose tables are: a lock of another machine is waited for as long as it changes, whatever the clocks say.
import { hostname } from 'node:os';
import { expect, it } from 'vitest';
import { lockTables } from '../../../src/archive/export/export-lock.ts';
import { pidSpace } from '../../../src/archive/export/process-owner.ts';
import type { ExportTarget } from '../../../src/archive/export/target.ts';
import type { Clock } from '../../../src/ports.ts';
import { parseTopicName, type TopicName } from '../../../src/topic-name.ts';

const TOPIC = parseTopicName('persistent://t/ns/orders') as TopicName;
const KEY = '_export/t/ns/orders/lock';
// No process of this machine has that number: only where it is from keeps it from being taken for gone.
const ANOTHER = { id: 'x', host: 'one', pidSpace: 'elsewhere', pid: 2 ** 30, beat: 0 };

/** Waits for a lock that another one has; `look` is called before each look. */
async function wait(owner: object, look: (notes: Map<string, string>, looks: number) => void) {
  const notes = new Map([[KEY, JSON.stringify(owner)]]);
  const target = {
    name: 'tables',
    readNote: async (key: string) => notes.get(key),
    writeNote: async (key: string, text: string) => void notes.set(key, text),
    createNote: async (key: string, text: string) => !notes.has(key) && notes.set(key, text) !== undefined,
    removeNote: async (key: string) => void notes.delete(key),
  } as unknown as ExportTarget;
  let looks = 0;
  const sleep = async () => look(notes, ++looks);
  const clock = { now: () => 0, sleep } as unknown as Clock;
  const signal = new AbortController().signal;
  const lock = await lockTables(target, TOPIC, { clock, signal, onWait: () => undefined });
  return { lock, looks, notes };
}

it('is taken over after a minute in which nobody changed it', async () => {
  const { lock, looks, notes } = await wait(ANOTHER, () => undefined);
  expect(looks).toBe(60);
  await lock.check();
  await lock.release();
  expect(notes.size).toBe(0);
});

it('is waited for as long as its owner changes it', async () => {
  const { lock, looks } = await wait(ANOTHER, (notes, at) => {
    if (at < 200 && at % 50 === 0) notes.set(KEY, JSON.stringify({ ...ANOTHER, beat: at }));
    if (at === 200) notes.delete(KEY);
  });
  expect(looks).toBe(200);
  await lock.release();
});

it('is free at once where its process was on this machine and is gone, and not where the host is called the same', async () => {
  const gone = await wait({ ...ANOTHER, pidSpace: pidSpace() }, () => undefined);
  expect(gone.looks).toBe(0);
  await gone.lock.release();
  const same = await wait({ ...ANOTHER, host: hostname() }, () => undefined);
  expect(same.looks).toBe(60);
  await same.lock.release();
});

it('fails whoever lost it before it publishes, and leaves the lock of the other one alone', async () => {
  const { lock, notes } = await wait(ANOTHER, () => undefined);
  notes.set(KEY, JSON.stringify({ ...ANOTHER, id: 'y' }));
  await expect(lock.check()).rejects.toThrow('another export writes the tables of persistent://t/ns/orders');
  await lock.release();
  expect(JSON.parse(notes.get(KEY) ?? '')).toMatchObject({ id: 'y' });
});
