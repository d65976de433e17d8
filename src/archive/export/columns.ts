// The columns of an export, as SQL over the rows that the thread takes (row-line.ts). A field that does not fit its column
// is an error: no value becomes null without a word.

/** One column of an export. */
export interface Column {
  readonly name: string;
  /** Over `j`, the fields of a row. */
  readonly sql: string;
  /** Of a column that not every export has. */
  readonly type?: string;
}

/** The fields of a row, all read as texts: conversions that fail are errors then. */
const FIELDS = [
  'id publishTime eventTime key keyBase64 orderingKey producer sequenceId schemaVersion replicatedFrom',
  'value valueBase64 other',
]
  .join(' ')
  .split(' ');

const part = (number: number, type: string) => `TRY_CAST(split_part(j."id", ':', ${number}) AS ${type})`;
const bytes = (field: string) => `from_base64(j."${field}")`;

/** What every export has. Ids are signed, as the broker has them; a sequence id has 64 bits without a sign. */
export const BASE_COLUMNS: readonly Column[] = [
  { name: 'id', sql: 'j."id"' },
  { name: 'ledger_id', sql: part(1, 'BIGINT') },
  { name: 'entry_id', sql: part(2, 'BIGINT') },
  { name: 'partition', sql: part(3, 'INTEGER') },
  { name: 'batch_index', sql: part(4, 'INTEGER') },
  { name: 'publish_time', sql: 'CAST(j."publishTime" AS TIMESTAMPTZ)' },
  { name: 'event_time', sql: 'CAST(j."eventTime" AS TIMESTAMPTZ)' },
  { name: 'key', sql: 'j."key"' },
  { name: 'key_bytes', sql: bytes('keyBase64') },
  { name: 'ordering_key', sql: bytes('orderingKey') },
  { name: 'properties', sql: `COALESCE(j."properties", MAP([]::VARCHAR[], []::VARCHAR[]))` },
  { name: 'producer', sql: 'j."producer"' },
  { name: 'sequence_id', sql: 'CAST(j."sequenceId" AS UBIGINT)' },
  { name: 'schema_version', sql: bytes('schemaVersion') },
  { name: 'replicated_from', sql: 'j."replicatedFrom"' },
  { name: 'value', sql: 'j."value"' },
  { name: 'value_bytes', sql: bytes('valueBase64') },
  { name: 'is_tombstone', sql: 'j."value" IS NULL AND j."valueBase64" IS NULL' },
  { name: 'other_fields', sql: 'j."other"' },
];

/** `more`: fields of the rows besides, and their types. */
export function selectOf(columns: readonly Column[], more: Readonly<Record<string, string>> = {}): string {
  const fields = Object.fromEntries(FIELDS.map((name) => [name, 'VARCHAR']));
  const types = JSON.stringify({ ...fields, properties: 'MAP(VARCHAR, VARCHAR)', ...more });
  const list = columns.map(({ name, sql }) => `${sql} AS ${sqlName(name)}`).join(', ');
  const lines = 'SELECT unnest(string_split(decode(lines), chr(10))) AS line FROM rows_to_write()';
  return `SELECT ${list} FROM (SELECT from_json(line, ${sqlText(types)}) AS j FROM (${lines}))`;
}

/** A name in SQL. */
export const sqlName = (name: string): string => `"${name.replaceAll('"', '""')}"`;

/** A text in SQL. */
export const sqlText = (text: string): string => `'${text.replaceAll("'", "''")}'`;
