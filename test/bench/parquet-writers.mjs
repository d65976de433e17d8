// Other writers of Parquet, for bench:archive --tables: `hyparquet FOLDER FILE` or `wasm FOLDER FILE` parses the JSON lines
// below a folder and writes the same 13 columns of all, in row groups of 10,000 rows. It runs where the packages are
// installed, which the project does not depend on.
import { createReadStream, createWriteStream, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';

const ROWS = 10_000;
const [what, folder, path] = process.argv.slice(2);
const { resolve } = createRequire(join(process.cwd(), 'x.js'));
const load = (name) => import(pathToFileURL(resolve(name)).href);

/** Name, type and how it is of a record. */
const COLUMNS = [
  ['id', 'text', ({ id }) => id],
  ['ledger_id', 'long', ({ id }) => BigInt(id.split(':')[0])],
  ['entry_id', 'long', ({ id }) => BigInt(id.split(':')[1])],
  ['partition', 'int', ({ id }) => Number(id.split(':')[2])],
  ['publish_time', 'time', ({ publishTime }) => new Date(publishTime)],
  ['event_time', 'time', ({ eventTime }) => (eventTime === undefined ? null : new Date(eventTime))],
  ['key', 'text', ({ key }) => key ?? null],
  ['properties', 'text', ({ properties }) => JSON.stringify(properties ?? {})],
  ['producer', 'text', ({ producer }) => producer ?? null],
  ['sequence_id', 'long', ({ sequenceId }) => (sequenceId === undefined ? null : BigInt(sequenceId))],
  ['value', 'text', ({ value }) => value ?? null],
  [
    'value_bytes',
    'bytes',
    ({ valueBase64: text }) => (text === undefined ? null : Buffer.from(text, 'base64')),
  ],
  ['is_tombstone', 'flag', ({ value }) => value === null],
];

/** Columns of up to ROWS rows. */
async function* groups() {
  let data = COLUMNS.map(() => []);
  const files = readdirSync(folder, { recursive: true }).filter((one) => one.endsWith('.jsonl'));
  for (const file of files.sort())
    for await (const line of createInterface({ input: createReadStream(join(folder, file)) })) {
      const record = JSON.parse(line);
      for (const [i, [, , of]] of COLUMNS.entries()) data[i].push(of(record));
      if (data[0].length < ROWS) continue;
      yield data;
      data = COLUMNS.map(() => []);
    }
  if (data[0].length > 0) yield data;
}

async function hyparquet() {
  const { ParquetWriter, schemaFromColumnData } = await load('hyparquet-writer');
  const { fileWriter } = await load('hyparquet-writer');
  const types = {
    text: 'STRING',
    long: 'INT64',
    int: 'INT32',
    time: 'TIMESTAMP',
    bytes: 'BYTE_ARRAY',
    flag: 'BOOLEAN',
  };
  let writer;
  for await (const data of groups()) {
    const columnData = COLUMNS.map(([name, type], i) => ({ name, type: types[type], data: data[i] }));
    writer ??= new ParquetWriter({ writer: fileWriter(path), schema: schemaFromColumnData({ columnData }) });
    writer.write({ columnData, rowGroupSize: ROWS });
  }
  writer.finish();
}

async function wasm() {
  const arrow = await load('apache-arrow');
  const parquet = await load('parquet-wasm/node');
  const types = {
    text: new arrow.Utf8(),
    long: new arrow.Int64(),
    int: new arrow.Int32(),
    time: new arrow.TimestampMillisecond('UTC'),
    bytes: new arrow.Binary(),
    flag: new arrow.Bool(),
  };
  const batches = new ReadableStream(
    {
      async start() {
        this.groups = groups();
      },
      async pull(controller) {
        const { value: data, done } = await this.groups.next();
        if (done) return controller.close();
        const columns = COLUMNS.map(([name, type], i) => [name, arrow.vectorFromArray(data[i], types[type])]);
        const stream = arrow.tableToIPC(new arrow.Table(Object.fromEntries(columns)), 'stream');
        for (const batch of parquet.Table.fromIPCStream(stream).recordBatches()) controller.enqueue(batch);
      },
    },
    { highWaterMark: 1 },
  );
  const options = new parquet.WriterPropertiesBuilder()
    .setCompression(parquet.Compression.ZSTD)
    .setMaxRowGroupSize(ROWS)
    .build();
  const file = createWriteStream(path);
  for await (const piece of await parquet.transformParquetStream(batches, options))
    if (!file.write(piece)) await new Promise((done) => file.once('drain', done));
  await new Promise((done) => file.end(done));
}

await { hyparquet, wasm }[what]();
