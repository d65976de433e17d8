// `archive restore` with schemas, against the loopback broker: what is registered, and what each message gets.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { main } from '../../../src/cli/main.ts';
import { encodeKeptSchema, keepSchema, schemaKey, schemaName } from '../../../src/format/kept-schema.ts';
import { objectKey, runManifestKey } from '../../../src/format/object-key.ts';
import { encodeRecord, formatMessageId, formatTime } from '../../../src/format/record.ts';
import { SCHEMA_TYPE, SERVER_ERROR } from '../../../src/pulsar/wire/protocol/tables.ts';
import { parseTopicName, type TopicName } from '../../../src/topic-name.ts';
import { message } from '../../archive/archive-fixture.ts';
import { openSource, takeAll } from '../../pulsar/wire/loopback-source.ts';
import { type LoopbackBroker, startLoopbackBroker } from '../../stand-ins/broker/broker.ts';
import { testTerminal } from '../terminal.ts';

const TARGET = parseTopicName('t/ns/again') as TopicName;
const SOURCE = parseTopicName('t/ns/orders') as TopicName;
const version = (number: number) => Buffer.from([0, 0, 0, 0, 0, 0, 0, number]);

let folder: string;
let broker: LoopbackBroker;
let registered: string[];
let subscriptions = 0;
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'tdmq-backup-schemas-'));
  broker = await startLoopbackBroker({ namespaces: ['t/ns'] });
  broker.createTopic('t/ns/again');
  // Another schema has the first version there.
  broker.registerSchema('t/ns/again', { type: SCHEMA_TYPE.STRING });
  registered = [];
  broker.onCommand((name, fields) => {
    if (name === 'getOrCreateSchema') registered.push(Buffer.from(fields['schema'].schemaData).toString());
    return undefined;
  });
});
afterEach(async () => {
  await broker.close();
  rmSync(folder, { recursive: true });
});

function write(key: string, bytes: Uint8Array | string): void {
  const path = join(folder, key);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, bytes);
}

/** Messages of the versions 0, 1, 7 (which is not kept) and none; 0 and 1 are kept. */
function writeArchive(): void {
  const versions = [version(0), version(1), version(7), undefined, version(0)];
  const messages = versions.map((schemaVersion, n) => message(0, n, { schemaVersion }));
  write(
    objectKey('', SOURCE, messages[0] as (typeof messages)[0], 'none'),
    messages.map(encodeRecord).join(''),
  );
  for (const [number, definition] of ['"int"', '"long"'].entries()) {
    const schema = { type: 'AVRO', name: 'o', properties: [], definition: Buffer.from(definition) };
    const kept = keepSchema(SOURCE, version(number), schema);
    write(schemaKey('', SOURCE, schemaName(version(number))), encodeKeptSchema(kept));
  }
}

async function restore(...more: string[]) {
  const { terminal, out, err } = testTerminal({ PULSAR_SERVICE_URL: broker.serviceUrl });
  const args = ['archive', 'restore', '--folder', folder, '--to', 't/ns/again', ...more];
  const exitCode = await main(args, terminal);
  return { exitCode, out: out(), err: err() };
}

/** The schema versions of the messages of the target. */
async function versionsAtTarget(): Promise<(number | undefined)[]> {
  const { source, first } = await openSource(broker, { topic: TARGET, subscription: `s-${++subscriptions}` });
  const entries = await takeAll(first);
  await source.close();
  return entries.flatMap(({ messages }) => messages.map(({ schemaVersion }) => schemaVersion?.at(-1)));
}

it('registers the schemas first, and gives each message the version that its schema has at the target', async () => {
  writeArchive();
  const { exitCode, out } = await restore();
  expect(exitCode).toBe(0);
  expect(registered).toEqual(['"int"', '"long"']);
  expect(await versionsAtTarget()).toEqual([1, 2, undefined, undefined, 1]);
  expect(out).toContain('2 schemas registered at persistent://t/ns/again');
  expect(out).toMatch(
    /1 messages published without the schema that their records name.*archive schemas fetch/,
  );
});

it('publishes bytes where schemas are not wanted', async () => {
  writeArchive();
  const { exitCode, out } = await restore('--schemas', 'none');
  expect(exitCode).toBe(0);
  expect(registered).toEqual([]);
  expect(await versionsAtTarget()).toEqual([undefined, undefined, undefined, undefined, undefined]);
  expect(out).not.toMatch(/schema/);
});

it('registers nothing in a dry run, and says how many it would', async () => {
  writeArchive();
  const { exitCode, out } = await restore('--dry-run');
  expect([exitCode, registered]).toEqual([0, []]);
  expect(out).toContain(
    '2 schemas would be registered at persistent://t/ns/again; only then the broker says',
  );
  expect(out).not.toContain('no schema is in the way');
});

it('publishes nothing where the target refuses a schema, and can begin again', async () => {
  writeArchive();
  let refused = 0;
  broker.onCommand((name) =>
    name === 'getOrCreateSchema' && ++refused === 2
      ? { error: SERVER_ERROR.IncompatibleSchema, message: 'not readable by it' }
      : undefined,
  );
  const { exitCode, err } = await restore();
  expect(exitCode).toBe(1);
  expect(err).toMatch(/schema 1 of persistent:\/\/t\/ns\/orders .*not readable by it/);
  expect(err).toContain('--schemas none');
  expect(await versionsAtTarget()).toEqual([]);
  expect((await restore()).exitCode).toBe(0);
  expect(await versionsAtTarget()).toHaveLength(5);
});

it('refuses another word after --schemas', async () => {
  expect((await restore('--schemas', 'all')).exitCode).toBe(2);
});

it('knows by the manifest which definition the messages of an object mean, where the version has had two', async () => {
  const names: string[] = [];
  for (const [entryId, definition] of ['"int"', '"long"'].entries()) {
    const one = message(0, entryId * 10, { schemaVersion: version(0) });
    const schema = { type: 'AVRO', name: 'o', properties: [], definition: Buffer.from(definition) };
    const kept = keepSchema(SOURCE, version(0), schema);
    const name = schemaName(version(0), entryId === 0 ? undefined : kept.sha256);
    names.push(name);
    write(schemaKey('', SOURCE, name), encodeKeptSchema(kept));
    const key = objectKey('', SOURCE, one, 'none');
    write(key, encodeRecord(one));
    const id = formatMessageId(one.id);
    const time = formatTime(one.publishTimeMs);
    const times = { firstPublishTime: time, lastPublishTime: time };
    const object = { key, partition: 0, messages: 1, firstId: id, lastId: id, ...times, schemas: [name] };
    const manifest = { format: 'tdmq-backup-run/1', partitions: 1, storedObjects: [object] };
    write(runManifestKey('', 'rule', one.publishTimeMs as number, `r-${entryId}`), JSON.stringify(manifest));
  }
  const { exitCode, out } = await restore('--json');
  expect(exitCode).toBe(0);
  expect(JSON.parse(out)).toMatchObject({ messages: 2, withoutSchema: 0 });
  expect(registered).toEqual(['"int"', '"long"']);
  expect(await versionsAtTarget()).toEqual([1, 2]);
});
