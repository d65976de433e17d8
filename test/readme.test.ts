import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { VARIABLES } from '../src/config.ts';

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
