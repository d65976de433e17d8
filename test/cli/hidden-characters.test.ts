// What comes from outside reaches no terminal as something that it obeys: escapes, controls and overrides of direction in
// values, keys, properties, topic names, object keys and messages. What programs read from a pipe stays exact.
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { afterAll, beforeAll, describe, expect, it, test } from 'vitest';
import { main } from '../../src/cli/main.ts';
import { message, storeManifest, storeObject } from '../archive/archive-fixture.ts';
import { writeCopy } from '../archive/archive-folder.ts';
import { createMemoryStore } from '../fakes/memory-store.ts';
import { deployByHand, log, startRuleCloud } from './rule-cloud.ts';
import { testTerminal } from './terminal.ts';

/** Colour, title, cursor, C1's CSI, DEL, right-to-left override, line separator. */
const HOSTILE = '\u001b[35m\u001b]0;title\u0007\r\u009b2J\u007f\u202egnp.exe\u2028';
/** What a terminal may get: line breaks, and our own colours and line that is taken away. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: that is what it is about
const OWN = /\u001b\[(?:31|39|32|33|1|2|22)m|\r\u001b\[2K/g;
const HIDDEN = /[^\P{Cc}\n]|[\p{Bidi_Control}\u2028\u2029]/u;
const root = mkdtempSync(join(tmpdir(), 'tdmq-backup-hidden-'));
const folder = join(root, 'copy');
afterAll(() => rmSync(root, { recursive: true, force: true }));

const VALUES = [`json ${HOSTILE} end`, '{"a":"列车 🚄"}', '\n\ttwo\nlines'];
beforeAll(async () => {
  const store = createMemoryStore();
  const values = [...VALUES.map((value) => Buffer.from(value)), Buffer.from([0xff, 0x1b, 0x5b, 0x41]), null];
  const own = values.map((payload, i) =>
    message(0, i, {
      payload,
      key: i === 0 ? `key ${HOSTILE}` : '列车',
      properties: [[`p${HOSTILE}`, HOSTILE]],
    }),
  );
  await storeManifest(store, [await storeObject(store, own)]);
  writeCopy(store, folder);
  // What is in the copy besides: a topic and an object whose names are hostile.
  mkdirSync(join(folder, 't/ns', `orders${HOSTILE.replaceAll('/', '')}`, 'date=2026-11-23/partition=0'), {
    recursive: true,
  });
  const file = join(folder, 't/ns', `orders${HOSTILE}`, 'date=2026-11-23/partition=0');
  writeFileSync(join(file, '000000000007-0000000000-00000.jsonl'), 'no record\n');
});

/** Both streams, as a pipe or a terminal gets them. */
async function call(isTerminal: boolean, ...args: string[]) {
  const { terminal, out, err } = testTerminal({}, undefined, {});
  if (isTerminal)
    for (const stream of [terminal.stdout, terminal.stderr]) Object.assign(stream, { isTTY: true });
  const code = await main(args, terminal);
  return { code, out: out(), err: err(), both: out() + err() };
}
const archive = (isTerminal: boolean, ...args: string[]) =>
  call(isTerminal, 'archive', ...args, '--folder', folder);

describe.each([true, false])('at a terminal: %j', (isTerminal) => {
  test.each([
    ['cat', '--topic', 't/ns/orders', '--format', 'table'],
    ['cat', '--topic', 't/ns/orders', '--count-by', 'key'],
    ['cat', '--topic', 't/ns/orders', '--count-by', `property:p${HOSTILE}`],
    ['cat', '--topic', `t/ns/orders${HOSTILE}`],
    ['cat', '--topic', `t/ns/orders${HOSTILE}`, '--skip-damaged', '--count'],
    ['cat', '--topic', `t/ns/none${HOSTILE}`],
    ['cat'],
    ['ls'],
    ['ls', '--objects'],
    ['verify'],
    ['verify', '--level', 'record', '--topic', `t/ns/orders${HOSTILE}`],
    ['index'],
    ['cat', `--${HOSTILE}`],
    [HOSTILE],
  ])('command %# prints nothing that a terminal obeys', async (...args) => {
    const { both } = await archive(isTerminal, ...args);
    expect(both.length).toBeGreaterThan(0);
    const rest = isTerminal ? both.replace(OWN, '') : both;
    expect(HIDDEN.exec(rest)).toBeNull();
    expect(rest).not.toContain('\u001b');
  });
});

describe('what programs read', () => {
  test('is exact in a pipe, as lines and as values', async () => {
    const { out: lines } = await archive(false, 'cat', '--topic', 't/ns/orders');
    const [path = ''] = readdirSync(join(folder, 't/ns/orders'), { recursive: true })
      .map(String)
      .filter((one) => one.endsWith('.jsonl'));
    expect(lines).toBe(readFileSync(join(folder, 't/ns/orders', path), 'utf8'));
    const { out: values } = await archive(
      false,
      'cat',
      '--topic',
      't/ns/orders',
      '--format',
      'value',
      '--until-id',
      '7:2',
    );
    expect(values).toBe(VALUES.map((value) => `${value}\n`).join(''));
    const { out: json } = await archive(false, 'ls', '--json');
    expect(JSON.parse(json).objects.map(({ topic }: { topic: string }) => topic)).toContain(
      `persistent://t/ns/orders${HOSTILE}`,
    );
  });

  test('is the same JSON at a terminal, with nothing hidden', async () => {
    for (const args of [
      ['cat', '--topic', 't/ns/orders'],
      ['ls', '--json'],
      ['verify', '--json'],
    ]) {
      const atTerminal = (await archive(true, ...args)).out;
      expect(HIDDEN.exec(atTerminal)).toBeNull();
      const parsed = (text: string) =>
        text
          .trim()
          .split(/\n(?=\{"id)/)
          .map((line) => JSON.parse(line));
      if (args[0] !== 'verify')
        expect(parsed(atTerminal)).toEqual(parsed((await archive(false, ...args)).out));
    }
  });

  test('values at a terminal keep their lines, and lose what it would obey', async () => {
    const { out } = await archive(true, 'cat', '--topic', 't/ns/orders', '--format', 'value');
    expect(HIDDEN.exec(out.replaceAll('\t', ''))).toBeNull();
    expect(out).toContain('json \\u001b[35m');
    expect(out).toContain('\n\ttwo\nlines\n');
  });
});

test.each([true, false])('rule logs shows no such message either, at a terminal: %j', async (isTerminal) => {
  const cloud = await startRuleCloud();
  try {
    cloud.api.state.pollsUntilActive = 0;
    deployByHand(cloud, 'orders-backup');
    const requestId = log(cloud, 'orders-backup', 2, {
      ...{ level: 'error', message: 'run failed', errorMessage: HOSTILE, hint: HOSTILE, [HOSTILE]: HOSTILE },
    });
    for (const more of [[], ['--request', requestId], ['--json']]) {
      const args = ['logs', 'orders-backup', ...more];
      const { out, err } = await (isTerminal ? cloud.ruleOnTerminal(args, [], {}) : cloud.rule(...args));
      expect(out).toContain('gnp.exe');
      const rest = (out + err).replace(OWN, '');
      if (isTerminal || more[0] !== '--json') expect(HIDDEN.exec(rest)).toBeNull();
    }
  } finally {
    await cloud.close();
  }
});

it('shows a table of values as wide as they are, and what is no text by its size and bytes', async () => {
  const { out } = await archive(false, 'cat', '--topic', 't/ns/orders', '--format', 'table');
  const [head = '', first = '', wide = '', lines, binary, tombstone] = out.split('\n');
  expect(head).toMatch(/^published +id +key +value$/);
  expect(first).toContain('json \\u001b[35m\\u001b]0;title\\u0007\\r\\u009b2J');
  expect(first).toContain('  key \\u001b[35m\\u001…  ');
  // Two letters of two columns each.
  const at = head.indexOf('value');
  expect(wide.indexOf('{"a":"列车 🚄"}')).toBe(at - 2);
  expect(lines).toContain('\\n\\ttwo\\nlines');
  expect(binary).toContain('(4 bytes) ff1b5b41');
  expect(tombstone).toContain('(null)');
});

it('colours nothing that pretends to be a colour of ours', async () => {
  const stderr = Object.assign(new PassThrough(), { isTTY: true, columns: 80 });
  const { terminal } = testTerminal({}, undefined, { stderr });
  expect(await main(['archive', 'cat', '--folder', '/nowhere\u001b[31m'], terminal)).toBe(1);
  const shown = String(stderr.read());
  expect(shown).toContain('\u001b[31m✗\u001b[39m tdmq-backup archive cat failed');
  expect(shown).toContain('/nowhere\\u001b[31m');
});
