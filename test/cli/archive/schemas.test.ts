// `archive schemas`, and what `archive ls` says about schemas.
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { main } from '../../../src/cli/main.ts';
import { encodeKeptSchema, keepSchema, schemaKey, schemaName } from '../../../src/format/kept-schema.ts';
import { objectKey } from '../../../src/format/object-key.ts';
import { encodeRecord } from '../../../src/format/record.ts';
import { SCHEMA_TYPE } from '../../../src/pulsar/wire/protocol/tables.ts';
import { parseTopicName, type TopicName } from '../../../src/topic-name.ts';
import { message } from '../../archive/archive-fixture.ts';
import { startLoopbackBroker } from '../../stand-ins/broker/broker.ts';
import { testTerminal } from '../terminal.ts';

const TOPIC = parseTopicName('t/ns/orders') as TopicName;
const version = (number: number) => Buffer.from([0, 0, 0, 0, 0, 0, 0, number]);
const record = (...fields: string[]) =>
  `{"type":"record","name":"Order","fields":[${fields.map((name) => `{"name":"${name}","type":"long","default":9007199254740993}`).join(',')}]}`;

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tdmq-backup-schemas-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

function write(key: string, bytes: Uint8Array | string): void {
  const path = join(folder, key);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, bytes);
}

interface Kept {
  readonly type?: string;
  readonly topic?: TopicName;
  readonly isOther?: boolean;
  readonly properties?: readonly (readonly [string, string])[];
}

function keep(number: number, definition: string | Uint8Array, options: Kept = {}): string {
  const { type = 'AVRO', topic = TOPIC, isOther, properties = [] } = options;
  const schema = { type, name: 'o', properties, definition: Buffer.from(definition as string) };
  const kept = keepSchema(topic, version(number), schema);
  const name = schemaName(version(number), isOther ? kept.sha256 : undefined);
  write(schemaKey('', topic, name), encodeKeptSchema(kept));
  return name;
}

/** An object whose messages name these versions. */
function storeMessages(...versions: (Uint8Array | undefined)[]): void {
  const messages = versions.map((schemaVersion, n) => message(0, n, { schemaVersion }));
  const lines = messages.map(encodeRecord);
  write(objectKey('', TOPIC, messages[0] as (typeof messages)[0], 'none'), lines.join(''));
}

async function run(args: readonly string[], env: Record<string, string> = {}) {
  const { terminal, out, err } = testTerminal(env);
  const exitCode = await main(['archive', ...args, '--folder', folder], terminal);
  return { exitCode, out: out(), err: err() };
}

describe('archive ls', () => {
  it('lists schemas as text, JSON and a page', async () => {
    storeMessages(version(0));
    keep(0, record('a'));
    const other = keep(0, record('b'), { isOther: true });
    write(schemaKey('', TOPIC, '7'), 'damaged');
    const { out } = await run(['ls']);
    expect(out).toContain('schemas of persistent://t/ns/orders');
    expect(out).toMatch(/\n {2}0 +AVRO +\d+ B +[0-9a-f]{12}\n/);
    expect(out).toMatch(new RegExp(`\\n {2}${other} +AVRO `));
    expect(out).toMatch(/\n {2}7 +\? +7 B +\?\n/);
    const json = JSON.parse((await run(['ls', '--json'])).out);
    expect(json.schemas).toMatchObject([
      { topic: TOPIC.full, name: '0', version: '0', type: 'AVRO', key: '_schemas/t/ns/orders/0.json' },
      { name: other, version: '0', type: 'AVRO' },
      { name: '7', version: '7', type: null, sha256: null },
    ]);
    const page = join(folder, 'page.html');
    await run(['ls', '--html', page]);
    expect(readFileSync(page, 'utf8')).toMatch(/<h2>Schemas<\/h2>[\s\S]*<td>0<\/td><td>AVRO<\/td>/);
  });
});

describe('archive schemas', () => {
  it('lists them, also where there are no messages', async () => {
    keep(0, record('a'));
    keep(10, '', { type: 'STRING' });
    const { out, exitCode } = await run(['schemas']);
    expect(exitCode).toBe(0);
    expect(out).toMatch(/^schemas of persistent:\/\/t\/ns\/orders\n {2}version +type/);
    expect(out).toMatch(/\n {2}10 +STRING/);
    expect(JSON.parse((await run(['schemas', '--json'])).out).schemas).toHaveLength(2);
  });

  it('prints one, its numbers as they are written', async () => {
    keep(0, record('a'), { properties: [['__alwaysAllowNull', 'true']] });
    const { out } = await run(['schemas', '--version', '0']);
    expect(out).toContain(
      'type        AVRO\nname        o\nproperty    __alwaysAllowNull=true\ndefinition\n  {\n    "type": "record",',
    );
    expect(out).toContain('"default": 9007199254740993');
    expect(JSON.parse((await run(['schemas', '--version', '0', '--json'])).out).definition).toBe(record('a'));
  });

  it('prints what key and value of a KEY_VALUE schema are', async () => {
    const part = (text: string) => Buffer.concat([Buffer.from([0, 0, 0, text.length]), Buffer.from(text)]);
    const properties = [
      ['key.schema.type', 'STRING'],
      ['value.schema.type', 'JSON'],
      ['kv.encoding.type', 'SEPARATED'],
    ] as const;
    keep(0, Buffer.concat([part(''), part('{"type":"int"}')]), { type: 'KEY_VALUE', properties });
    const { out } = await run(['schemas', '--version', '0']);
    expect(out).toMatch(
      /encoding {4}SEPARATED\nkey\n {2}type +STRING\nvalue\n {2}type +JSON\n {2}definition\n {4}\{\n {6}"type": "int"/,
    );
    expect((await run(['schemas'])).out).toContain('KEY_VALUE(STRING, JSON, SEPARATED)');
  });

  it('prints in which lines two differ', async () => {
    keep(0, record('a', 'b', 'c'));
    keep(1, record('a', 'c', 'd'));
    const { out, exitCode } = await run(['schemas', '--diff', '0', '1']);
    expect(exitCode).toBe(0);
    expect(out).toMatch(/^--- persistent:\/\/t\/ns\/orders 0\n\+\+\+ persistent:\/\/t\/ns\/orders 1\n/);
    expect(out).toMatch(/\n- {9}"name": "b"/);
    expect(out).toMatch(/\n\+ {9}"name": "d"/);
    expect(out).not.toMatch(/\n[-+] {9}"name": "a"/);
    expect((await run(['schemas', '--diff', '0', '0'])).out).toContain('no difference');
    const { changes, from } = JSON.parse((await run(['schemas', '--diff', '0', '1', '--json'])).out);
    expect(from).toEqual({ topic: TOPIC.full, name: '0' });
    expect(changes).toContainEqual({ kind: 'new', text: expect.stringContaining('"name": "d"') });
  });

  it('says what there is where the version is none, or several', async () => {
    const [first, other] = [keep(0, record('a')), keep(0, record('b'), { isOther: true })];
    const none = await run(['schemas', '--version', '5']);
    expect(none.exitCode).toBe(2);
    expect(none.err).toContain(`${first} of persistent://t/ns/orders`);
    expect((await run(['schemas', '--version', other])).out).toContain('"name": "b"');
    expect((await run(['schemas', '--version', first])).out).toContain('"name": "a"');
    keep(0, record('a'), { topic: parseTopicName('t/ns/others') as TopicName });
    const several = await run(['schemas', '--version', '0']);
    expect(several.exitCode).toBe(2);
    expect(several.err).toContain('--topic persistent://t/ns/others');
    expect((await run(['schemas', '--version', '0', '--topic', 't/ns/others'])).exitCode).toBe(0);
  });

  it.each([
    [['--diff', '0']],
    [['--version', '0', '--diff', '0', '1']],
    [['get']],
    [['fetch', '--version', '0']],
  ])('refuses %j', async (args) => {
    keep(0, record('a'));
    expect((await run(['schemas', ...args])).exitCode).toBe(2);
  });

  it('fails where there are none, and says how to get them', async () => {
    storeMessages(undefined);
    const { exitCode, err } = await run(['schemas']);
    expect(exitCode).toBe(1);
    expect(err).toContain('archive schemas fetch');
  });
});

describe('archive schemas fetch', () => {
  it('stores what the broker has of the versions that records name, once', async () => {
    const broker = await startLoopbackBroker({ namespaces: ['t/ns'] });
    try {
      broker.createTopic('t/ns/orders', 3);
      broker.registerSchema('t/ns/orders', { type: SCHEMA_TYPE.AVRO, schemaData: Buffer.from(record('a')) });
      broker.registerSchema('t/ns/orders', { type: SCHEMA_TYPE.AVRO, schemaData: Buffer.from(record('b')) });
      storeMessages(version(0), undefined, version(5), new Uint8Array(), version(0));
      const env = { PULSAR_SERVICE_URL: broker.serviceUrl };
      const first = await run(['schemas', 'fetch'], env);
      expect(first.exitCode).toBe(1);
      expect(first.out).toContain('_schemas/t/ns/orders/0.json');
      expect(first.out).toMatch(/orders 5\n +the broker has no such schema/);
      expect(readdirSync(join(folder, '_schemas/t/ns/orders'))).toEqual(['0.json']);
      const asked: unknown[] = [];
      broker.onCommand((name, fields) => {
        if (name === 'getSchema') asked.push(fields['schemaVersion']);
        return undefined;
      });
      const again = await run(['schemas', 'fetch', '--json'], env);
      expect(JSON.parse(again.out)).toMatchObject({ stored: 0, kept: 1, missing: 1 });
      expect(asked).toHaveLength(1);
      storeMessages(version(0));
      expect((await run(['schemas', 'fetch'], env)).exitCode).toBe(0);
    } finally {
      await broker.close();
    }
  });

  it('takes a property of that name for no version', async () => {
    const [line] = [message(0, 0, { properties: [['schemaVersion', 'AAE=']] })];
    write(objectKey('', TOPIC, line, 'none'), encodeRecord(line));
    const { out, exitCode } = await run(['schemas', 'fetch'], { PULSAR_SERVICE_URL: 'pulsar://127.0.0.1:1' });
    expect([exitCode, out]).toEqual([0, 'No record names a schema.\n']);
  });

  it('fails where there is no archive, or no cluster named', async () => {
    const env = { PULSAR_SERVICE_URL: 'pulsar://127.0.0.1:1' };
    expect((await run(['schemas', 'fetch'], env)).err).toContain('nothing found');
    storeMessages(version(0));
    expect((await run(['schemas', 'fetch'])).err).toContain('PULSAR_SERVICE_URL is not set');
    const unreachable = await run(['schemas', 'fetch'], env);
    expect(unreachable.exitCode).toBe(1);
    expect(unreachable.err).toContain('127.0.0.1:1');
  });
});
