// A set of keys in little memory: what was added is found, and nothing else.
import { expect, it } from 'vitest';
import { createKeySet } from '../../../src/archive/copy/key-set.ts';

it('finds each of very many keys and no other, and knows which were taken', () => {
  const keys = createKeySet();
  const nameOf = (i: number) => `t/ns/orders/date=2026-11-23/partition=0/${i}.jsonl`;
  for (let i = 0; i < 50_000; i++) keys.add(nameOf(i));
  const wrong: string[] = [];
  const check = (name: string, isRight: boolean) => isRight || wrong.push(name);
  for (let i = 0; i < 50_000; i += 2) check(nameOf(i), keys.take(nameOf(i)));
  for (let i = 0; i < 50_000; i++) check(nameOf(i), keys.isTaken(nameOf(i)) === (i % 2 === 0));
  for (let i = 50_000; i < 60_000; i++) check(nameOf(i), !keys.take(nameOf(i)));
  expect(wrong).toEqual([]);
});

it('is empty where nothing was added', () => {
  expect(createKeySet().take('a')).toBe(false);
});
