// The note of a restore: whatever is written and whenever a kill comes, what it goes on with is what it began with.
import { expect, it } from 'vitest';
import { openNote } from '../../../src/cli/archive/restore-note.ts';
import { createMemoryStore } from '../../fakes/memory-store.ts';

const WHAT = { source: 'a', target: 'b' };
const FIRST = { again: false, isDry: false };

function memoryNotes(texts = new Map<string, string>()) {
  let left = Number.POSITIVE_INFINITY;
  const notes = {
    read: async (key: string) => texts.get(key),
    async write(key: string, text: string) {
      if (left-- <= 0) throw new Error('killed');
      texts.set(key, text);
    },
  };
  return { notes, texts, dieAfter: (writes: number) => (left = writes) };
}

const keysFrom = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => `key-${from + i}`);

it('goes on with the very objects that it began with, however many, and notices those that are gone', async () => {
  const { notes, texts } = memoryNotes();
  const first = await openNote({ notes }, WHAT, FIRST);
  expect(first.began).toBeUndefined();
  await first.begin(() => keysFrom(0, 45_000), 2);
  await first.save({ '0': { '1': 7 } });
  expect(texts.size).toBe(4);
  const second = await openNote({ notes }, WHAT, FIRST);
  expect(second).toMatchObject({ isResumed: true, id: first.id, acknowledged: { '0': { '1': 7 } } });
  for (const key of keysFrom(3, 45_000)) expect(second.began?.take(key)).toBe(true);
  expect(second.began?.take('key-45000')).toBe(false);
  const store = createMemoryStore();
  await store.create('key-1', { chunks: [], sizeBytes: 0 }, '0', { metadata: {}, contentType: 'text/plain' });
  expect(await second.countGone(store)).toBe(2);
  await expect(second.begin(() => [], 3)).rejects.toThrow('has 3 partitions, and had 2');
});

it.each([0, 1, 2, 3])(
  'a kill after %i writes of --again leaves what was before, or what is new',
  async (writes) => {
    const { notes, dieAfter } = memoryNotes();
    const first = await openNote({ notes }, WHAT, FIRST);
    await first.begin(() => keysFrom(0, 10), 2);
    await first.save({ '0': { '1': 7 } });
    const again = await openNote({ notes }, WHAT, { ...FIRST, again: true });
    dieAfter(writes);
    await again.begin(() => keysFrom(10, 30_010), 2).catch(() => undefined);
    const next = await openNote({ notes }, WHAT, FIRST);
    const isNew = writes === 3;
    expect(next.acknowledged).toEqual(isNew ? {} : { '0': { '1': 7 } });
    expect([next.began?.take('key-9'), next.began?.take('key-30009')]).toEqual([!isNew, isNew]);
  },
);

it('is no longer that of a process in whose place another one goes on', async () => {
  const { notes, texts } = memoryNotes();
  const first = await openNote({ notes }, WHAT, FIRST);
  await first.begin(() => ['a'], 2);
  await first.save({ '0': { '1': 7 } });
  await first.expectOwn();
  const second = await openNote({ notes }, WHAT, FIRST);
  await first.expectOwn();
  await second.begin(() => ['a'], 2);
  await second.save({ '0': { '1': 9 } });
  const before = [...texts];
  await expect(first.expectOwn()).rejects.toThrow('another process has gone on with this restore');
  await expect(first.save({ '0': { '1': 8 } })).rejects.toThrow('another process has gone on');
  expect([...texts]).toEqual(before);
  await second.expectOwn();
});

it('is done once, with what it left out; a dry run writes nothing', async () => {
  const { notes, texts } = memoryNotes();
  const dry = await openNote({ notes }, WHAT, { again: false, isDry: true });
  await dry.begin(() => ['a'], 2);
  await dry.finish(0);
  expect(texts.size).toBe(0);
  const note = await openNote({ notes }, WHAT, FIRST);
  await note.begin(() => ['a'], 2);
  await note.finish(3);
  expect((await openNote({ notes }, WHAT, FIRST)).done).toMatchObject({ leftOut: 3 });
});

it('goes on with a note from before there were several lists', async () => {
  const { notes, texts } = memoryNotes();
  const note = await openNote({ notes }, WHAT, FIRST);
  await note.begin(() => ['a'], 2);
  const [listKey, noteKey] = [...texts.keys()] as [string, string];
  const { lists: _, ...old } = JSON.parse(texts.get(noteKey) as string);
  texts.set(noteKey, JSON.stringify(old));
  texts.set(noteKey.replace('.json', '.objects.json'), '["a","b"]');
  texts.delete(listKey);
  const next = await openNote({ notes }, WHAT, FIRST);
  expect([next.began?.take('a'), next.began?.take('b'), next.began?.take('c')]).toEqual([true, true, false]);
});
