// Tables of an archive: what is in them, what a second export adds, and what is there while one is made.
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { message, messages } from '../../archive/archive-fixture.ts';
import { allTables, emptyArchive, query } from './exported.ts';

const DAY_MS = 86_400_000;
const NOON_MS = Date.UTC(2026, 10, 23, 12);

/** The Parquet files of an export, by path. */
const filesIn = (tables: string) =>
  readdirSync(tables, { recursive: true })
    .map(String)
    .filter((one) => one.endsWith('.parquet'))
    .sort();

it('writes every message once, in the order of each partition, in a folder for the day of each', async () => {
  const archive = emptyArchive();
  await archive.store([
    messages(0, 0, 9),
    messages(0, 10, 19),
    messages(1, 0, 4),
    [message(1, 5), message(1, 6, { publishTimeMs: NOON_MS + DAY_MS })],
    messages(0, 15, 22),
  ]);
  const { code, out, err } = await archive.run('export', '--to', archive.tables);
  expect({ code, err }).toEqual({ code: 0, err: '' });
  expect(out).toMatch(/^persistent:\/\/t\/ns\/orders: 2 days written, 30 rows, 2 files, [\d.]+ kB\n$/);
  expect(filesIn(archive.tables)).toEqual([
    't/ns/orders/date=2026-11-23/part-00000.parquet',
    't/ns/orders/date=2026-11-24/part-00000.parquet',
  ]);
  const rows = await query(
    `SELECT date::VARCHAR AS date, "partition", entry_id FROM read_parquet('${archive.tables}/**/*.parquet', file_row_number = true) ORDER BY date, file_row_number`,
  );
  const own = (partition: number, from: number, to: number) =>
    messages(partition, from, to).map(({ id }) => ({
      date: '2026-11-23',
      partition,
      entry_id: String(id.entryId),
    }));
  expect(rows).toEqual([
    ...own(0, 0, 22),
    ...own(1, 0, 5),
    { date: '2026-11-24', partition: 1, entry_id: '6' },
  ]);
});

it('has every field as cat prints it, whatever bytes, times and numbers it has', async () => {
  const archive = emptyArchive();
  const odd = Buffer.from([0xff, 0, 0xc3]);
  const own = [
    message(0, 0, {
      key: odd,
      orderingKey: odd,
      payload: odd,
      eventTimeMs: NOON_MS + 1,
      schemaVersion: Buffer.from([0, 0, 0, 0, 0, 0, 0, 9]),
      sequenceId: 2n ** 64n - 1n,
      replicatedFrom: 'gz-1',
    }),
    message(0, 1, {
      payload: null,
      key: undefined,
      properties: [],
      producer: undefined,
      sequenceId: undefined,
    }),
    message(0, 2, { payload: Buffer.alloc(0), key: '', properties: [['', '']] }),
    message(0, 3, {
      payload: Buffer.from('{"a":"\\ud83d","b":"\u0000"}😀'),
      key: 'a\u0000b',
      properties: [
        ['__proto__', 'x'],
        ['10', 'b'],
        ['9', 'a'],
        [',"value":"', '"'],
      ],
    }),
    message(0, 4, { eventTimeMs: -1, sequenceId: 2n ** 53n + 1n }),
    message(0, 5, {
      eventTimeMs: 2n ** 63n,
      producer: odd,
      replicatedFrom: odd,
      properties: [
        [odd, 'v'],
        ['n', 'v'],
      ],
    }),
    message(0, 6, { payload: Buffer.alloc(60_000_000, 'ü') }),
  ];
  await archive.store([own]);
  expect((await archive.run('export', '--to', archive.tables)).code).toBe(0);
  const rows = await query(
    `SELECT * EXCLUDE (date, value), md5(value) AS value, strlen(value) AS size FROM ${allTables(archive.tables)} ORDER BY entry_id`,
  );
  const plain = {
    event_time: null,
    key_bytes: null,
    ordering_key: null,
    schema_version: null,
    replicated_from: null,
  };
  expect(rows[0]).toMatchObject({
    id: '7:0:0:-1',
    ledger_id: '7',
    batch_index: -1,
    publish_time: '2026-11-23 12:00:00+00',
    event_time: '2026-11-23 12:00:00.001+00',
    key: null,
    key_bytes: '\\xFF\\x00\\xC3',
    ordering_key: '\\xFF\\x00\\xC3',
    value: null,
    value_bytes: '\\xFF\\x00\\xC3',
    is_tombstone: false,
    schema_version: '\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x09',
    sequence_id: '18446744073709551615',
    replicated_from: 'gz-1',
    other_fields: null,
  });
  expect(rows[1]).toMatchObject({
    ...plain,
    key: null,
    properties: [],
    producer: null,
    sequence_id: null,
    value: null,
    value_bytes: null,
    is_tombstone: true,
  });
  expect(rows[2]).toMatchObject({
    key: '',
    size: '0',
    is_tombstone: false,
    properties: [{ key: '', value: '' }],
  });
  const texts = await query(
    `SELECT key, value, map_entries(properties) AS p FROM ${allTables(archive.tables)} WHERE entry_id = 3`,
  );
  expect(texts).toEqual(
    [
      {
        key: 'a\u0000b',
        value: '{"a":"\\ud83d","b":"\u0000"}😀',
        p: [
          { key: '10', value: 'b' },
          { key: '9', value: 'a' },
          { key: ',"value":"', value: '"' },
          { key: '__proto__', value: 'x' },
        ].map((pair) => expect.objectContaining(pair)),
      },
    ].map((one) => ({ ...one, p: expect.arrayContaining(one.p) })),
  );
  expect(rows[4]).toMatchObject({
    event_time: '1969-12-31 23:59:59.999+00',
    sequence_id: '9007199254740993',
  });
  expect(rows[5]).toMatchObject({ event_time: null, producer: null, replicated_from: null });
  expect(JSON.parse(String((rows[5] as { other_fields: string }).other_fields))).toEqual({
    eventTime: '9223372036854775808',
    producerBase64: odd.toString('base64'),
    replicatedFromBase64: odd.toString('base64'),
    propertiesBase64: { [odd.toString('base64')]: 'dg==' },
  });
  expect(rows[6]).toMatchObject({ size: '60000000' });
});

it('reads records that another writer has left as cat reads them: names twice, half a character, times of any number', async () => {
  const archive = emptyArchive();
  const [object] = await archive.store([messages(0, 0, 4)], { manifest: false });
  const path = join(archive.archive, (object?.key ?? '').replace('tdmq/', ''));
  const records = readFileSync(path, 'utf8').split('\n').slice(0, -1);
  const odd = [
    (one: string) => one.replace('{"n":"0"}', '{"n":"a","n":"b"}'),
    (one: string) => one.replace('"value":"', '"value":"\\ud800'),
    (one: string) => one.replace(/"publishTime":"[^"]*"/, '"publishTime":-1'),
    (one: string) => one.replace('{"id":', '{"more":[1],"id":'),
    (one: string) => one.replace('"sequenceId":4', '"sequenceId":-4'),
  ];
  writeFileSync(path, records.map((one, i) => `${odd[i]?.(one)}\n`).join(''));
  const { code, err } = await archive.run('export', '--to', archive.tables);
  expect({ code, err }).toEqual({ code: 0, err: '' });
  const rows = await query(
    `SELECT date::VARCHAR AS date, properties, value, publish_time, sequence_id, other_fields FROM ${allTables(archive.tables)} ORDER BY entry_id`,
  );
  const all = rows as Record<string, unknown>[];
  expect(all[0]).toMatchObject({ properties: [{ key: 'n', value: 'b' }], value: 'value 0/0' });
  expect(all[1]).toMatchObject({ value: '\ufffdvalue 0/1' });
  expect(all[2]).toMatchObject({ date: '1970-01-01', publish_time: '1969-12-31 23:59:59.999+00' });
  expect(all[3]).toMatchObject({ value: 'value 0/3', other_fields: null });
  expect(all[4]).toMatchObject({ sequence_id: null, other_fields: '{"sequenceId":"-4"}' });
});

it('says how many entries are in no table, since they could not be decoded', async () => {
  const archive = emptyArchive();
  await archive.store([messages(0, 0, 4)]);
  const raw = join(archive.archive, '_unreadable/t/ns/orders/partition=0');
  mkdirSync(raw, { recursive: true });
  writeFileSync(join(raw, '000000000007-0000000100.bin'), 'x');
  writeFileSync(join(raw, '000000000007-0000000100.json'), '{"reason":"bad checksum"}');
  const { code, out } = await archive.run('export', '--to', archive.tables);
  expect(code).toBe(0);
  expect(out).toContain('1 raw entries are in no table: archive recover decodes them');
});

it('compresses with snappy, and bounds row groups by their bytes', async () => {
  const archive = emptyArchive();
  const payload = Buffer.from(Array.from({ length: 50_000 }, (_, i) => (i * 7_919).toString(36)).join(''));
  await archive.store([messages(0, 0, 199).map((one) => ({ ...one, payload }))]);
  await archive.run('export', '--to', archive.tables, '--compression', 'snappy', '--file-size', '1GB');
  const groups = await query(
    `SELECT count(DISTINCT row_group_id) AS n, any_value(compression) AS compression, bool_and(stats_min_value IS NOT NULL) AS stats FROM parquet_metadata('${archive.tables}/**/*.parquet') WHERE path_in_schema IN ('id', 'publish_time')`,
  );
  expect(groups).toEqual([{ n: expect.any(String), compression: 'SNAPPY', stats: true }]);
  expect(Number((groups as [{ n: string }])[0].n)).toBeGreaterThan(1);
});
