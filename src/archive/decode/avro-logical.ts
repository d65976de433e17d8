// Avro's logical types: what its values mean beyond their encoding. One that does not fit its type is ignored, as Avro says.
import type { AvroBytes } from './avro-bytes.ts';
import { durationText } from './iso-time.ts';
import { Misfit } from './misfit.ts';
import type { Slot, ValueType } from './value-type.ts';

/** A slot with what reads it. */
export interface AvroSlot extends Slot {
  readonly read: (from: AvroBytes) => unknown;
}

/** The slot with the logical type that the attributes name; as it is, where they name none that fits it. */
export function logicalType(slot: AvroSlot, attributes: Readonly<Record<string, unknown>>): AvroSlot {
  const { type, read } = slot;
  const name = attributes['logicalType'];
  const same = (logical: ValueType): AvroSlot => ({ ...slot, type: logical });
  if (type.kind === 'integer') {
    const logical = typeof name === 'string' ? TIMES[type.bits === 32 ? 'int' : 'long']?.[name] : undefined;
    return logical === undefined ? slot : same(logical);
  }
  if (name === 'uuid' && type.kind === 'string') return same({ kind: 'uuid' });
  if (type.kind !== 'bytes') return slot;
  if (name === 'uuid' && type.sizeBytes === 16)
    return { ...same({ kind: 'uuid' }), read: (from) => uuidText(read(from) as Buffer) };
  if (name === 'duration' && type.sizeBytes === 12)
    return { ...same({ kind: 'duration' }), read: (from) => duration(read(from) as Buffer) };
  const { precision, scale = 0 } = attributes;
  if (name !== 'decimal' || !isDecimal(precision, scale, type.sizeBytes)) return slot;
  const decimal = { kind: 'decimal', precision, scale: scale as number } as const;
  return { ...same(decimal), read: (from) => unscaled(read(from) as Buffer, precision) };
}

const TIMES: Readonly<Record<'int' | 'long', Readonly<Record<string, ValueType>>>> = {
  int: { date: { kind: 'date' }, 'time-millis': { kind: 'time', unit: 'millis' } },
  long: {
    'time-micros': { kind: 'time', unit: 'micros' },
    'timestamp-millis': { kind: 'timestamp', unit: 'millis', isUtc: true },
    'timestamp-micros': { kind: 'timestamp', unit: 'micros', isUtc: true },
    'timestamp-nanos': { kind: 'timestamp', unit: 'nanos', isUtc: true },
    'local-timestamp-millis': { kind: 'timestamp', unit: 'millis', isUtc: false },
    'local-timestamp-micros': { kind: 'timestamp', unit: 'micros', isUtc: false },
    'local-timestamp-nanos': { kind: 'timestamp', unit: 'nanos', isUtc: false },
  },
};

function isDecimal(precision: unknown, scale: unknown, sizeBytes: number | undefined): precision is number {
  if (!(Number.isSafeInteger(precision) && Number.isSafeInteger(scale))) return false;
  const most = sizeBytes === undefined ? MAX_PRECISION : Math.floor(Math.log10(2) * (8 * sizeBytes - 1));
  return (
    (precision as number) > 0 &&
    (precision as number) <= most &&
    (scale as number) >= 0 &&
    (scale as number) <= (precision as number)
  );
}

/** More digits than anybody uses; their time grows quadratically. */
const MAX_PRECISION = 10_000;

/** Two's complement, big-endian. Writers may pad it. */
function unscaled(bytes: Buffer, precision: number): bigint {
  if (bytes.length > precision + 64)
    throw new Misfit(`a decimal of ${precision} digits has ${bytes.length} bytes`);
  if (bytes.length === 0) return 0n;
  return BigInt.asIntN(8 * bytes.length, BigInt(`0x${bytes.toString('hex')}`));
}

/** RFC 4122. */
function uuidText(bytes: Buffer): string {
  const hex = bytes.toString('hex');
  const parts = [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)];
  return parts.join('-');
}

const duration = (bytes: Buffer) =>
  durationText(bytes.readUInt32LE(0), bytes.readUInt32LE(4), bytes.readUInt32LE(8));
