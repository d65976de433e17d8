import { readdirSync, readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { describe, expect, it } from 'vitest';
import { VARIABLES } from '../src/config.ts';
import { largestMessageBytes } from '../src/largest-message.ts';

const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8');

describe("the README's table of settings", () => {
  const rows = [...readme.matchAll(/^\| `([A-Z][A-Z_]+)` \| (.+?) \| (.+) \|$/gm)].map(
    ([, name, fallback, text]) => ({
      name: name as keyof typeof VARIABLES,
      fallback: fallback as string,
      text: text as string,
    }),
  );

  it('has every variable of the schema, in its order, and no other', () => {
    expect(rows.map(({ name }) => name)).toEqual(Object.keys(VARIABLES));
  });

  it('says the default that the schema has, and what is required', () => {
    for (const { name, fallback } of rows) {
      const variable = VARIABLES[name] as { fallback?: string; required?: boolean };
      if (variable.fallback) expect(fallback, name).toBe(`\`${variable.fallback}\``);
      else if (variable.required) expect(fallback, name).toMatch(/^required$|^the function's/);
      else expect(fallback, name).toMatch(/^–$|^system CAs$|^the bucket's root$/);
    }
  });

  it('names every value that a choice allows', () => {
    for (const { name, text } of rows) {
      const choices = /^one of ([^;]+)/.exec(VARIABLES[name].expected)?.[1]?.split(', ') ?? [];
      if (name === 'COS_STORAGE_CLASS') continue;
      for (const choice of choices) expect(text, name).toContain(`\`${choice}\``);
    }
  });
});

describe("the README's table of large messages", () => {
  it('has the sizes that the driver goes by', () => {
    const cells = (name: string) =>
      (readme.match(new RegExp(`^\\| ${name} \\| (.+) \\|$`, 'm'))?.[1] ?? '').split(' | ').map(Number);
    const memories = cells('memory, MB');
    expect(memories.length).toBeGreaterThan(3);
    expect(cells('largest message, MiB')).toEqual(
      memories.map((memoryMb) => largestMessageBytes(memoryMb) / 1_048_576),
    );
  });
});

describe("the README's table of failures", () => {
  const [, table = ''] = /\| what fails \|.*\n\|[-|]+\|\n((?:\|.*\n)+)/.exec(readme) ?? [];
  const rows = table.trimEnd().split('\n');

  it('names tests that exist, in every row', () => {
    const files = readdirSync(new URL('.', import.meta.url), { recursive: true }).map(String);
    const tests = new Set(
      files.filter((file) => file.endsWith('.test.ts')).map((file) => basename(file, '.test.ts')),
    );
    expect(rows.length).toBeGreaterThan(15);
    for (const row of rows) {
      const named = [...(row.split('|').at(-2) ?? '').matchAll(/`([\w-]+)`/g)].map(([, name]) => name);
      expect(named.length, row).toBeGreaterThan(0);
      for (const name of named) expect(tests, row).toContain(name);
    }
  });
});
