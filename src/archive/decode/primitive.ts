// Pulsar's primitive schemas, as the Java client's classes of these names encode them: big-endian, of a fixed size. It
// refuses other sizes, which Java does as well.
import { isUtf8 } from 'node:buffer';
import { timestampText, timeText } from './iso-time.ts';
import type { JsonValue } from './json-value.ts';
import { Misfit } from './misfit.ts';
import { exactNumber, required, type Slot, type TimeUnit, type ValueType } from './value-type.ts';

/** A slot with what reads a whole payload as it. */
export interface PrimitiveSlot extends Slot {
  readonly read: (bytes: Buffer) => unknown;
  /** Where it is not as its type is in JSON. */
  readonly json?: (value: unknown) => JsonValue;
}

/** The primitive schema of that type; `undefined` where Pulsar has none. @throws Misfit for an unknown character set */
export function primitiveSlot(
  type: string,
  properties: Readonly<Record<string, string>>,
): PrimitiveSlot | undefined {
  if (type === 'STRING') {
    const charset = Object.hasOwn(properties, CHARSET) ? (properties[CHARSET] as string) : 'UTF-8';
    return { ...required({ kind: 'string' }), read: textReader(charset) };
  }
  return PRIMITIVES.get(type);
}

const CHARSET = '__charset';

const sized = (type: ValueType, sizeBytes: number, read: (bytes: Buffer) => unknown): PrimitiveSlot => ({
  ...required(type),
  read(bytes) {
    if (bytes.length !== sizeBytes) throw new Misfit(`it has ${bytes.length} bytes, not ${sizeBytes}`);
    return read(bytes);
  },
});

const integer = (bits: 8 | 16 | 32 | 64): ValueType => ({ kind: 'integer', bits, isSigned: true });
const timestamp = (unit: TimeUnit, isUtc: boolean): ValueType => ({ kind: 'timestamp', unit, isUtc });
const long = (bytes: Buffer, at = 0) => exactNumber(bytes.readBigInt64BE(at));
const anyBytes: PrimitiveSlot = { ...required({ kind: 'bytes' }), read: (bytes) => bytes };

const NANOS_PER_SECOND = 1_000_000_000n;
const NANOS_PER_DAY = 86_400n * NANOS_PER_SECOND;

const PRIMITIVES: ReadonlyMap<string, PrimitiveSlot> = new Map<string, PrimitiveSlot>([
  ['NONE', anyBytes],
  ['BYTES', anyBytes],
  ['BOOLEAN', sized({ kind: 'boolean' }, 1, (bytes) => bytes[0] !== 0)],
  ['INT8', sized(integer(8), 1, (bytes) => bytes.readInt8())],
  ['INT16', sized(integer(16), 2, (bytes) => bytes.readInt16BE())],
  ['INT32', sized(integer(32), 4, (bytes) => bytes.readInt32BE())],
  ['INT64', sized(integer(64), 8, long)],
  ['FLOAT', sized({ kind: 'float', bits: 32 }, 4, (bytes) => bytes.readFloatBE())],
  ['DOUBLE', sized({ kind: 'float', bits: 64 }, 8, (bytes) => bytes.readDoubleBE())],
  // java.util.Date, java.sql.Time and java.sql.Timestamp are all a time since 1970.
  ['DATE', sized(timestamp('millis', true), 8, long)],
  ['TIME', { ...sized({ kind: 'time', unit: 'millis' }, 8, long), json: sqlTimeJson }],
  ['TIMESTAMP', sized(timestamp('millis', true), 8, long)],
  ['INSTANT', sized(timestamp('nanos', true), 12, instant)],
  ['LOCAL_DATE', sized({ kind: 'date' }, 8, long)],
  ['LOCAL_TIME', sized({ kind: 'time', unit: 'nanos' }, 8, (bytes) => exactNumber(nanosOfDay(bytes, 0)))],
  ['LOCAL_DATE_TIME', sized(timestamp('nanos', false), 16, localDateTime)],
]);

function instant(bytes: Buffer): number | bigint {
  return exactNumber(bytes.readBigInt64BE() * NANOS_PER_SECOND + BigInt(bytes.readInt32BE(8)));
}

function localDateTime(bytes: Buffer): number | bigint {
  return exactNumber(bytes.readBigInt64BE() * NANOS_PER_DAY + nanosOfDay(bytes, 8));
}

function nanosOfDay(bytes: Buffer, at: number): bigint {
  const nanos = bytes.readBigInt64BE(at);
  if (nanos < 0n || nanos >= NANOS_PER_DAY) throw new Misfit(`no day has ${nanos} nanoseconds`);
  return nanos;
}

/** A time of the day, in UTC; with its day where it has another than the first, which a java.sql.Time should not. */
function sqlTimeJson(value: unknown): JsonValue {
  const text = timeText(value as number | bigint, 'millis');
  return typeof text === 'string' ? `${text}Z` : timestampText(value as number | bigint, 'millis', true);
}

/** Reads the texts of a Java charset. */
function textReader(charset: string): (bytes: Buffer) => string {
  const name = charset.toLowerCase();
  if (name === 'utf-8') {
    return (bytes) => {
      if (!isUtf8(bytes)) throw new Misfit('it is no valid UTF-8');
      return bytes.toString();
    };
  }
  // The web's name for it means another one.
  if (name === 'iso-8859-1' || name === 'us-ascii') return (bytes) => bytes.toString('latin1');
  const decoder = (label: string) => new TextDecoder(label, { fatal: true, ignoreBOM: true });
  try {
    decoder(charset);
  } catch {
    throw new Misfit(`the character set ${charset} is not known`);
  }
  const decode = (label: string, bytes: Buffer) => {
    try {
      return decoder(label).decode(bytes);
    } catch {
      throw new Misfit(`it is no valid ${charset}`);
    }
  };
  if (name !== 'utf-16') return (bytes) => decode(charset, bytes);
  // Java writes it big-endian, behind a mark that says so.
  return (bytes) => {
    const mark = bytes.length >= 2 ? bytes.readUInt16BE() : 0;
    const isMarked = mark === 0xfeff || mark === 0xfffe;
    return decode(mark === 0xfffe ? 'utf-16le' : 'utf-16be', isMarked ? bytes.subarray(2) : bytes);
  };
}
