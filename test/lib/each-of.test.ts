// Batches one by one: all items in their order, and whoever stops early ends what makes them.
import { expect, it } from 'vitest';
import { batchesOf, eachOf } from '../../src/lib/each-of.ts';

let isEnded: boolean;
async function* batches(sizes: readonly number[], failure?: Error) {
  isEnded = false;
  try {
    let next = 0;
    for (const size of sizes) yield Array.from({ length: size }, () => next++);
    if (failure !== undefined) throw failure;
  } finally {
    isEnded = true;
  }
}

it('gives the items of all batches, also of empty ones, in their order', async () => {
  const items: number[] = [];
  for await (const item of eachOf(batches([0, 2, 0, 1, 3, 0]))) items.push(item);
  expect(items).toEqual([0, 1, 2, 3, 4, 5]);
  expect(isEnded).toBe(true);
});

it('ends what makes the batches where the reader stops early', async () => {
  const items = eachOf(batches([2, 2]));
  for await (const item of items) if (item === 0) break;
  expect(isEnded).toBe(true);
  expect(await items.next()).toEqual({ value: undefined, done: true });
});

it('throws where the batches fail, behind the items that came before', async () => {
  const items: number[] = [];
  const reading = async () => {
    for await (const item of eachOf(batches([2], new Error('the disk is gone')))) items.push(item);
  };
  await expect(reading()).rejects.toThrow('the disk is gone');
  expect(items).toEqual([0, 1]);
});

it('gives the batches themselves to whoever can take several at a time', async () => {
  const items = eachOf(batches([2, 0, 1]));
  const sizes: number[] = [];
  for await (const batch of batchesOf(items) ?? []) sizes.push(batch.length);
  expect(sizes).toEqual([2, 0, 1]);
  expect(isEnded).toBe(true);
  async function* byThemselves() {}
  expect(batchesOf(byThemselves())).toBeUndefined();
});
