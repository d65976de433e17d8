// Groups that do not fit into memory: each comes once, in order, with all of its values, and no file is left.
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, expect, it } from 'vitest';
import { createSpilledGroups } from '../../../src/archive/read/spilled-groups.ts';
import { anyCharacter } from '../../any-character.ts';

const folder = mkdtempSync(join(tmpdir(), 'tdmq-backup-groups-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Values are texts that are put behind each other. */
const groupsOf = (heldBytes: number) =>
  createSpilledGroups<string>(
    {
      combine: (a, b) => `${a}${b}`,
      sizeOf: (text) => text.length,
      write: (text) => text,
      read: (text) => text,
    },
    { heldBytes, folder },
  );

it('gives each group once, in order, with its values in order, whatever fits into memory', async () => {
  const text = fc.string({ unit: anyCharacter, maxLength: 4 });
  const values = fc.string({ unit: anyCharacter, maxLength: 300 }).filter((one) => !one.includes('\n'));
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.oneof(text, fc.constantFrom('a', '\u2028', '\ud800', '\r\n\t')), values), {
        maxLength: 60,
      }),
      fc.constantFrom(0, 500, 3_000, 1_000_000),
      async (added, heldBytes) => {
        const groups = groupsOf(heldBytes);
        for (const [group, value] of added) await groups.add(group, value);
        const found: (readonly [string, string])[] = [];
        for await (const one of groups.entries()) found.push(one);
        await groups.close();
        const expected = new Map<string, string>();
        for (const [group, value] of added) expected.set(group, `${expected.get(group) ?? ''}${value}`);
        expect(found).toEqual([...expected].sort(([a], [b]) => (a < b ? -1 : 1)));
      },
    ),
    { numRuns: 200 },
  );
});

it('reads lines that are longer than what a reader holds', async () => {
  const groups = groupsOf(1_000);
  const long = 'x'.repeat(200_000);
  for (const group of ['b', 'a', 'b']) await groups.add(group, long);
  const found: [string, number][] = [];
  for await (const [group, value] of groups.entries()) found.push([group, value.length]);
  await groups.close();
  expect(found).toEqual([
    ['a', 200_000],
    ['b', 400_000],
  ]);
});

it('has no name in the folder for what it writes, while it is there', async () => {
  const groups = groupsOf(0);
  await groups.add('a', 'x');
  expect(readdirSync(folder)).toEqual([]);
  await groups.close();
});
