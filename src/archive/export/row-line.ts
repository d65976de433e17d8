// A message as the thread that writes Parquet takes it (parquet-worker.mjs): one line of JSON with the fields of its record.
// Nearly every record is such a line already. What no column of an export can hold is in the field `other`.
import { encodeRecordHead, formatTime } from '../../format/record.ts';
import type { Message, Text, TimeMs } from '../../ports.ts';
import type { StoredMessage } from '../read/read-messages.ts';

/** Spark refuses times before 1900 in files that others wrote; Python has no year 10000. */
const FIRST_TIME_MS = Date.UTC(1900, 0, 1);
const LAST_TIME_MS = Date.UTC(9999, 11, 31, 23, 59, 59, 999);
const MAX_UINT64 = 2n ** 64n - 1n;

/** The line of a message. `fields`: more fields of it, each with a comma before it. */
export function rowLine({ message, line }: Pick<StoredMessage, 'message' | 'line'>, fields = ''): string {
  const row = (isPlain(message) ? asStored(message, line) : undefined) ?? rewritten(message, line);
  return fields === '' ? row : `${row.slice(0, row.lastIndexOf('}'))}${fields}}`;
}

/** The record itself, where it is written as this version writes it: then no field comes twice. */
function asStored(message: Message, line: string): string | undefined {
  const head = encodeRecordHead(message);
  if (!line.startsWith(head) || !line.startsWith(',"value', head.length)) return undefined;
  // Half a character may be behind such an escape: DuckDB refuses it.
  return line.includes('\\ud') || line.includes('\\uD') ? undefined : line;
}

function isPlain({ publishTimeMs, eventTimeMs, producer, replicatedFrom, sequenceId, properties }: Message) {
  return (
    isColumnTime(publishTimeMs) &&
    publishTimeMs >= 0 &&
    (eventTimeMs === undefined || (isColumnTime(eventTimeMs) && eventTimeMs >= 0)) &&
    (producer === undefined || typeof producer === 'string') &&
    (replicatedFrom === undefined || typeof replicatedFrom === 'string') &&
    (sequenceId === undefined || isColumnNumber(sequenceId)) &&
    properties.every(([name, value]) => typeof name === 'string' && typeof value === 'string')
  );
}

const isColumnTime = (timeMs: TimeMs): timeMs is number => timeMs >= FIRST_TIME_MS && timeMs <= LAST_TIME_MS;

const isColumnNumber = (number: number | bigint): boolean => number >= 0 && number <= MAX_UINT64;

function rewritten(message: Message, line: string): string {
  const other: Record<string, unknown> = {};
  const time = (name: string, timeMs: TimeMs | undefined) => {
    if (timeMs === undefined || isColumnTime(timeMs))
      return timeMs === undefined ? undefined : new Date(timeMs).toISOString();
    other[name] = formatTime(timeMs);
    return undefined;
  };
  const text = (name: string, content: Text | undefined) => {
    if (content === undefined || typeof content === 'string') return content && wellFormed(content);
    other[`${name}Base64`] = base64(content);
    return undefined;
  };
  const pairs = message.properties.map(([name, value]) => [asBytes(name), asBytes(value)] as const);
  const isText = ([name, value]: Message['properties'][number]) =>
    typeof name === 'string' && typeof value === 'string';
  const texts = pairs.filter((_, i) => isText(message.properties[i] as Message['properties'][number]));
  const others = pairs.filter((pair) => !texts.includes(pair));
  if (others.length > 0)
    other['propertiesBase64'] = Object.fromEntries(
      others.map(([name, value]) => [base64(name), base64(value)]),
    );
  const { key, payload, orderingKey, schemaVersion, sequenceId } = message;
  const isNumber = sequenceId === undefined || isColumnNumber(sequenceId);
  if (!isNumber) other['sequenceId'] = String(sequenceId);
  const isTextPayload = typeof (JSON.parse(line) as { value?: unknown }).value === 'string';
  const row = {
    // As it is in the record: numbers beyond 2^53 are rounded in the message.
    id: (JSON.parse(line) as { id: string }).id,
    publishTime: time('publishTime', message.publishTimeMs),
    eventTime: time('eventTime', message.eventTimeMs),
    ...(typeof key === 'string' ? { key: wellFormed(key) } : key && { keyBase64: base64(key) }),
    orderingKey: orderingKey && base64(orderingKey),
    properties:
      texts.length === 0
        ? undefined
        : Object.fromEntries(texts.map(([name, value]) => [name.toString(), value.toString()])),
    producer: text('producer', message.producer),
    sequenceId: isNumber && sequenceId !== undefined ? String(sequenceId) : undefined,
    schemaVersion: schemaVersion && base64(schemaVersion),
    replicatedFrom: text('replicatedFrom', message.replicatedFrom),
    ...(payload !== null &&
      (isTextPayload ? { value: asBytes(payload).toString() } : { valueBase64: base64(payload) })),
  };
  return JSON.stringify({ ...row, other: Object.keys(other).length > 0 ? JSON.stringify(other) : undefined });
}

const asBytes = (content: Text) =>
  typeof content === 'string'
    ? Buffer.from(content)
    : Buffer.from(content.buffer, content.byteOffset, content.byteLength);

const base64 = (content: Uint8Array) => asBytes(content).toString('base64');

/** Without halves of characters, which no UTF-8 has. */
const wellFormed = (text: string) => Buffer.from(text).toString();
