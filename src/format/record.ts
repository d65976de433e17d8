// Record format v1 (tdmq-backup/1): one message as one line of JSON. The layout, in this order, absent where the
// message has none:
//   id topic publishTime eventTime key|keyBase64 orderingKey properties propertiesBase64 producer|producerBase64
//   sequenceId schemaVersion replicatedFrom|replicatedFromBase64 value|valueBase64
// The same message gives the same line in every run; `decodeRecord(encodeRecord(m))` gives back every byte.
import { isUtf8 } from 'node:buffer';
import { BackupError } from '../errors.ts';
import type { CommonFields, Message, MessageId, Text, TimeMs } from '../ports.ts';
import { compareEntries } from './entry-order.ts';

/** The `x-cos-meta-format` of every object of records. */
export const RECORD_FORMAT = 'tdmq-backup/1';

/** `ledger:entry:partition:batchIndex`, -1 if the message has no partition or no batch index. */
export function formatMessageId(id: MessageId): string {
  return `${id.ledgerId}:${id.entryId}:${id.partition}:${id.batchIndex}`;
}

/** The reverse of formatMessageId; `undefined` if the text is no message id. */
export function parseMessageId(text: string): MessageId | undefined {
  const match = /^(\d+):(\d+):(-1|\d+):(-1|\d+)$/.exec(text);
  if (match === null) return undefined;
  return {
    ledgerId: Number(match[1]),
    entryId: Number(match[2]),
    partition: Number(match[3]),
    batchIndex: Number(match[4]),
  };
}

/** The broker's order within one partition: negative if `a` comes before `b`. */
export function compareMessageIds(a: Omit<MessageId, 'partition'>, b: Omit<MessageId, 'partition'>): number {
  return compareEntries(a, b) || a.batchIndex - b.batchIndex;
}

/** Whether the time is in the years 1970 to 9999. */
export const isDate = (timeMs: TimeMs): timeMs is number => timeMs >= 0 && timeMs <= LAST_FOUR_DIGIT_YEAR_MS;

const LAST_FOUR_DIGIT_YEAR_MS = Date.UTC(9999, 11, 31, 23, 59, 59, 999);

/** ISO 8601 in UTC with milliseconds; the number of milliseconds outside the years 1970 to 9999. */
export function formatTime(timeMs: TimeMs): string {
  return isDate(timeMs) ? new Date(timeMs).toISOString() : String(timeMs);
}

/** The reverse of formatTime; `undefined` where the text is no time. */
export function parseTime(text: string): TimeMs | undefined {
  // Nearly all are dates, whose fifth letter is no digit.
  if (text[4] !== '-' && /^-?\d+$/.test(text)) return exactInteger(text);
  const timeMs = Date.parse(text);
  return Number.isNaN(timeMs) ? undefined : timeMs;
}

function exactInteger(digits: string): number | bigint {
  const number = Number(digits);
  return Number.isSafeInteger(number) ? number : BigInt(digits);
}

/** The message's line, with its `\n`. */
export function encodeRecord(message: Message): string {
  return `${encodeRecordHead(message)}${value(message.payload)}}\n`;
}

/** The line up to its value, which is last. */
export function encodeRecordHead(message: Message): string {
  const { id, eventTimeMs, key } = message;
  let line = `${entryIds.begin(id)}${id.batchIndex}${topicAndTime(message)}`;
  if (eventTimeMs !== undefined) line += `,"eventTime":${eventTimes.format(eventTimeMs)}`;
  if (key !== undefined) line += textField('key', key);
  if (message.orderingKey !== undefined) line += `,"orderingKey":"${base64(message.orderingKey)}"`;
  if (message.properties.length > 0) line += properties.format(message.properties);
  return `${line}${producerField(message)}${sequenceField(message)}${lastFields(message)}`;
}

/**
 * The parts that the lines of a batch share: before and after the batch index, the producer, the sequence id of a
 * message without one, and the part between that and the value.
 */
export const encodeCommon = (common: CommonFields): readonly string[] => [
  entryIds.begin(common.id),
  topicAndTime(common),
  producerField(common),
  sequenceField(common),
  lastFields(common),
];

const topicAndTime = ({ topic, publishTimeMs }: CommonFields): string =>
  `","topic":${topics.quote(topic)},"publishTime":${publishTimes.format(publishTimeMs)}`;

function producerField({ producer }: CommonFields): string {
  if (producer === undefined) return '';
  return typeof producer === 'string'
    ? `,"producer":${producers.quote(producer)}`
    : textField('producer', producer);
}

const sequenceField = ({ sequenceId }: CommonFields): string =>
  sequenceId === undefined ? '' : `,"sequenceId":${sequenceId}`;

function lastFields({ schemaVersion, replicatedFrom }: CommonFields): string {
  const version = schemaVersion === undefined ? '' : `,"schemaVersion":"${base64(schemaVersion)}"`;
  return replicatedFrom === undefined ? version : version + textField('replicatedFrom', replicatedFrom);
}

/** Bytes that are not valid UTF-8 get a separate field: JSON readers accept only UTF-8 as text. */
const textField = (name: string, content: Text) =>
  typeof content === 'string' ? `,"${name}":${quote(content)}` : `,"${name}Base64":"${base64(content)}"`;

/** As JSON.stringify, which is slow for short texts; most texts need no escape. */
const quote = (text: string) => (NEEDS_ESCAPES.test(text) ? JSON.stringify(text) : `"${text}"`);

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what JSON escapes
const NEEDS_ESCAPES = /["\\\u0000-\u001f\ud800-\udfff]/;

/** Quotes a text that is mostly the previous one. */
function repeatedQuote(): { quote(text: string): string } {
  let last = '';
  let quoted = '""';
  return {
    quote(text) {
      if (text !== last) {
        quoted = JSON.stringify(text);
        last = text;
      }
      return quoted;
    },
  };
}

/** The beginning of a record, which the messages of a batch share. */
function repeatedEntry(): { begin(id: MessageId): string } {
  let last: MessageId = { ledgerId: -1, entryId: -1, partition: -1, batchIndex: -1 };
  let start = '';
  return {
    begin(id) {
      if (id.entryId !== last.entryId || id.ledgerId !== last.ledgerId || id.partition !== last.partition) {
        start = `{"id":"${id.ledgerId}:${id.entryId}:${id.partition}:`;
        last = id;
      }
      return start;
    },
  };
}

const entryIds = repeatedEntry();
const topics = repeatedQuote();
const producers = repeatedQuote();

/**
 * Formats times that are mostly in the same second as the previous one: a date costs as much as the rest of a head.
 */
function repeatedTime(): { format(timeMs: TimeMs): string } {
  let lastSecond = -1;
  let start = '';
  return {
    format(timeMs) {
      if (!isDate(timeMs)) return formatTime(timeMs);
      const second = Math.floor(timeMs / 1_000);
      if (second !== lastSecond) {
        start = `"${formatTime(second * 1_000).slice(0, -4)}`;
        lastSecond = second;
      }
      const milliseconds = timeMs - second * 1_000;
      return `${start}${milliseconds < 10 ? '00' : milliseconds < 100 ? '0' : ''}${milliseconds}Z"`;
    },
  };
}

const publishTimes = repeatedTime();
const eventTimes = repeatedTime();

const MAX_REPEATED_LENGTH = 2_048;

/** Formats properties that are mostly those of the previous message. */
function repeatedProperties(): { format(pairs: Message['properties']): string } {
  let last: Message['properties'] = [];
  let text = '';
  return {
    format(pairs) {
      if (!isSame(pairs, last)) {
        const made = formatProperties(pairs);
        // Long texts rarely repeat, and would stay in memory.
        if (made.length > MAX_REPEATED_LENGTH) return made;
        text = made;
        last = pairs;
      }
      return text;
    },
  };
}

const properties = repeatedProperties();

function isSame(some: Message['properties'], others: Message['properties']): boolean {
  if (some.length !== others.length) return false;
  for (let at = 0; at < some.length; at++) {
    const [a, b] = [some[at] as Message['properties'][number], others[at] as Message['properties'][number]];
    if (a[0] !== b[0] || a[1] !== b[1]) return false;
  }
  return true;
}

/** Not by a JavaScript object, which would move names that look like numbers to the front. */
function formatProperties(pairs: Message['properties']): string {
  if (!pairs.every(isTextPair)) {
    const others = pairs.filter((pair) => !isTextPair(pair));
    const encoded = others.map(([name, content]): TextPair => [base64Of(name), base64Of(content)]);
    const texts = pairs.filter(isTextPair);
    const rest = texts.length > 0 ? formatProperties(texts) : '';
    return `${rest},"propertiesBase64":${formatPairs(encoded)}`;
  }
  return `,"properties":${formatPairs(pairs)}`;
}

type TextPair = readonly [name: string, content: string];
const isTextPair = (pair: Message['properties'][number]): pair is TextPair =>
  typeof pair[0] === 'string' && typeof pair[1] === 'string';
const base64Of = (content: Text) => base64(typeof content === 'string' ? Buffer.from(content) : content);

function formatPairs(pairs: readonly TextPair[]): string {
  let text = '{';
  for (const [name, content] of inOrder(pairs)) {
    if (text.length > 1) text += ',';
    text += `${quote(name)}:${quote(content)}`;
  }
  return `${text}}`;
}

function inOrder(pairs: readonly TextPair[]): readonly TextPair[] {
  for (let at = 1; at < pairs.length; at++) {
    if ((pairs[at - 1] as TextPair)[0] > (pairs[at] as TextPair)[0])
      return [...pairs].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
  }
  return pairs;
}

function value(payload: Uint8Array | null): string {
  if (payload === null) return ',"value":null';
  const bytes = asBuffer(payload);
  if (!isUtf8(bytes)) return `,"valueBase64":"${bytes.toString('base64')}"`;
  return `,"value":${JSON.stringify(bytes.toString())}`;
}

const base64 = (bytes: Uint8Array) => asBuffer(bytes).toString('base64');

const asBuffer = (bytes: Uint8Array) =>
  Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** The message of one line, with or without its `\n`. @throws BackupError `corrupt` with the fault of the line. */
export function decodeRecord(line: string): Message {
  let fields: unknown;
  try {
    fields = JSON.parse(line);
  } catch (cause) {
    throw notARecord('it is not JSON', cause);
  }
  if (typeof fields !== 'object' || fields === null || Array.isArray(fields))
    throw notARecord('it is no JSON object');
  const record = fields as Record<string, unknown>;
  const id = parseMessageId(text(record, 'id'));
  if (id === undefined) throw notARecord('"id" is no message id');
  return {
    id,
    topic: text(record, 'topic'),
    publishTimeMs: time(record, 'publishTime', line),
    eventTimeMs: optional(record, 'eventTime', (_, name) => time(record, name, line)),
    key: textOrBytes(record, 'key'),
    orderingKey: optional(record, 'orderingKey', bytes),
    properties: [
      ...parsePairs(record, 'properties'),
      ...parsePairs(record, 'propertiesBase64').map(
        ([name, content]) => [ofBase64(name), ofBase64(content)] as const,
      ),
    ],
    producer: textOrBytes(record, 'producer'),
    sequenceId: optional(record, 'sequenceId', (_, name) => integer(record, name, line)),
    schemaVersion: optional(record, 'schemaVersion', bytes),
    replicatedFrom: textOrBytes(record, 'replicatedFrom'),
    payload: parsePayload(record),
  };
}

const notARecord = (what: string, cause?: unknown) =>
  new BackupError('corrupt', `a line is not a record of ${RECORD_FORMAT}: ${what}`, { cause });

function optional<T>(
  record: Record<string, unknown>,
  name: string,
  parse: (record: Record<string, unknown>, name: string) => T,
): T | undefined {
  return Object.hasOwn(record, name) ? parse(record, name) : undefined;
}

function text(record: Record<string, unknown>, name: string): string {
  const content = record[name];
  if (typeof content !== 'string') throw notARecord(`"${name}" is no text`);
  return content;
}

function bytes(record: Record<string, unknown>, name: string): Uint8Array {
  const content = text(record, name);
  const decoded = Buffer.from(content, 'base64');
  if (decoded.toString('base64') !== content) throw notARecord(`"${name}" is not base64`);
  return decoded;
}

function time(record: Record<string, unknown>, name: string, line: string): TimeMs {
  if (typeof record[name] === 'number') return integer(record, name, line);
  const timeMs = Date.parse(text(record, name));
  if (Number.isNaN(timeMs)) throw notARecord(`"${name}" is no time`);
  return timeMs;
}

const textOrBytes = (record: Record<string, unknown>, name: string): Text | undefined =>
  optional(record, name, text) ?? optional(record, `${name}Base64`, bytes);

/** One of name and content may be a text there. */
function ofBase64(content: string): Text {
  const decoded = bytes({ content }, 'content');
  return isUtf8(decoded) ? Buffer.from(decoded).toString() : decoded;
}

function parsePairs(record: Record<string, unknown>, name: string): [string, string][] {
  if (!Object.hasOwn(record, name)) return [];
  const content = record[name];
  if (typeof content !== 'object' || content === null) throw notARecord(`"${name}" is no object`);
  const pairs = Object.entries(content);
  if (pairs.some(([, property]) => typeof property !== 'string')) throw notARecord('a property is no text');
  return pairs.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
}

/** JSON.parse rounds integers beyond 2^53; then the digits come from the line itself. */
function integer(record: Record<string, unknown>, name: string, line: string): number | bigint {
  const content = record[name];
  if (Number.isSafeInteger(content)) return content as number;
  // Inside a JSON string the quote before the colon would be escaped, so this finds the field and nothing else.
  const digits = new RegExp(`"${name}":(-?\\d+)[,}]`).exec(line)?.[1];
  if (digits === undefined) throw notARecord(`"${name}" is no integer`);
  return exactInteger(digits);
}

function parsePayload(record: Record<string, unknown>): Uint8Array | null {
  if (record['value'] === null) return null;
  if (Object.hasOwn(record, 'value')) return Buffer.from(text(record, 'value'), 'utf8');
  return bytes(record, 'valueBase64');
}
