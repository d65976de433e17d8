import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { describe, expect, it } from 'vitest';
import { largestMessageBytes } from '../src/largest-message.ts';
import { VARIABLES } from '../src/settings.ts';

const page = (name: string) => readFileSync(new URL(`../${name}`, import.meta.url), 'utf8');
const [settings, format, operations] = ['settings', 'format', 'operations'].map((name) =>
  page(`docs/${name}.md`),
) as [string, string, string];

describe('the table of settings', () => {
  const rows = [...settings.matchAll(/^\| `([A-Z][A-Z_]+)` \| (.+?) \| (.+) \|$/gm)].map(
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

describe('the table of large messages', () => {
  it('has the sizes that the driver goes by', () => {
    const cells = (name: string) =>
      (format.match(new RegExp(`^\\| ${name} \\| (.+) \\|$`, 'm'))?.[1] ?? '').split(' | ').map(Number);
    const memories = cells('memory, MB');
    expect(memories.length).toBeGreaterThan(3);
    expect(cells('largest message, MiB')).toEqual(
      memories.map((memoryMb) => largestMessageBytes(memoryMb) / 1_048_576),
    );
  });
});

describe('the table of failures', () => {
  const [, table = ''] = /\| what fails \|.*\n\|[-|]+\|\n((?:\|.*\n)+)/.exec(operations) ?? [];
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

/** As GitHub makes an anchor of a heading. */
const anchorOf = (heading: string) =>
  heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N} _-]/gu, '')
    .replaceAll(' ', '-');

describe('the pages', () => {
  const root = new URL('..', import.meta.url);
  const names = [
    ...['README.md', 'README.zh-CN.md', 'README.ja.md', 'CONTRIBUTING.md'],
    ...readdirSync(new URL('docs', root)).map((name) => `docs/${name}`),
  ];

  it('open with a README of at most 8 KB', () => {
    expect(Buffer.byteLength(page('README.md'))).toBeLessThanOrEqual(8_192);
  });

  it.each(names)('%s links only to what is there, and names only files that are there', (name) => {
    const text = page(name);
    const here = new URL(name, root);
    const links = [...text.matchAll(/\]\((?!https?:)([^)#]+)/g)].map(([, link]) => link as string);
    for (const link of links) expect(existsSync(new URL(link, here)), link).toBe(true);
    for (const [, link = '', anchor = ''] of text.matchAll(/\]\((?!https?:)([^)#]*)#([^)]+)\)/g)) {
      const target = link === '' ? text : readFileSync(new URL(link, here), 'utf8');
      const anchors = [...target.matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) => anchorOf(heading));
      expect(anchors, `${link}#${anchor}`).toContain(anchor);
    }
    const files = [...text.matchAll(/`((?:src|test|policies)\/[\w./-]+)`/g)].map(
      ([, file]) => file as string,
    );
    for (const file of files) expect(existsSync(new URL(file, root)), file).toBe(true);
  });

  it.each(['README.zh-CN.md', 'README.ja.md'])('%s has the two commands of the README', (name) => {
    for (const command of ['npm ci && npm run demo', 'npm cit']) {
      expect(page('README.md')).toContain(command);
      expect(page(name)).toContain(command);
    }
  });
});
