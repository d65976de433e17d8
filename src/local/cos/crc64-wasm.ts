// The loop of a reflected 64-bit CRC as a WebAssembly module, put together here byte by byte (WebAssembly core
// specification, chapter 5): sixteen bytes a step through sixteen tables. JavaScript has no fast 64-bit integers.

const TABLE_BYTES = 256 * 8;
const TABLES = 16;
const INPUT_OFFSET = TABLES * TABLE_BYTES;
const PAGE_BYTES = 65_536;
const INPUT_BYTES = 4 * PAGE_BYTES - INPUT_OFFSET;

const I32 = 0x7f;
const I64 = 0x7e;
const [CRC, POINTER, LEFT, NEXT] = [0, 1, 2, 3];
const EMPTY_BLOCK = 0x40;
const EIGHT = [0, 1, 2, 3, 4, 5, 6, 7];

const op = {
  block: [0x02, EMPTY_BLOCK],
  loop: [0x03, EMPTY_BLOCK],
  end: [0x0b],
  br: (depth: number) => [0x0c, depth],
  brIf: (depth: number) => [0x0d, depth],
  get: (local: number) => [0x20, local],
  set: (local: number) => [0x21, local],
  load64: (offset: number) => [0x29, 0, ...unsigned(offset)],
  load8: [0x31, 0, 0],
  i32: (value: number) => [0x41, ...signed(value)],
  i64: (value: number) => [0x42, ...signed(value)],
  i32IsZero: [0x45],
  i32IsLess: [0x49],
  i32Add: [0x6a],
  i32Subtract: [0x6b],
  i32And: [0x71],
  i32ShiftLeft: [0x74],
  i64Xor: [0x85],
  i64ShiftRight: [0x88],
  wrap: [0xa7],
};

/** The little of WebAssembly's interface that is used; @types/node has none of it. */
declare const WebAssembly: {
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object) => { readonly exports: Readonly<Record<string, unknown>> };
};

/** The loop, over a memory of its own. */
export interface CrcLoop {
  /** The longest chunk that `run` takes. */
  readonly maxBytes: number;
  /** The CRC's inner state after `chunk`. */
  run(state: bigint, chunk: Uint8Array): bigint;
}

/** Compiles the loop and fills its tables for one polynomial (reflected). */
export function loadCrcLoop(polynomial: bigint): CrcLoop {
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(moduleBytes()));
  const memory = new Uint8Array((exports['memory'] as { readonly buffer: ArrayBuffer }).buffer);
  const update = exports['update'] as (state: bigint, pointer: number, sizeBytes: number) => bigint;
  fillTables(new BigUint64Array(memory.buffer, 0, TABLES * 256), polynomial);
  return {
    maxBytes: INPUT_BYTES,
    run(state, chunk) {
      memory.set(chunk, INPUT_OFFSET);
      return BigInt.asUintN(64, update(state, INPUT_OFFSET, chunk.length));
    },
  };
}

/** Table k tells what a byte does to the sum when k more bytes follow it. */
function fillTables(tables: BigUint64Array, polynomial: bigint): void {
  for (let byte = 0; byte < 256; byte++) {
    let value = BigInt(byte);
    for (let bit = 0; bit < 8; bit++) value = (value & 1n) === 0n ? value >> 1n : (value >> 1n) ^ polynomial;
    tables[byte] = value;
  }
  for (let i = 256; i < tables.length; i++) {
    const before = tables[i - 256] as bigint;
    tables[i] = (before >> 8n) ^ (tables[Number(before & 255n)] as bigint);
  }
}

function moduleBytes(): Uint8Array {
  const body = [1, 1, I64, ...updateFunction(), ...op.end];
  return Uint8Array.from([
    ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, [1, 0x60, 3, I64, I32, I32, 1, I64]),
    ...section(3, [1, 0]),
    ...section(5, [1, 0, 4]),
    ...section(7, [2, ...name('memory'), 2, 0, ...name('update'), 0, 0]),
    ...section(10, [1, ...unsigned(body.length), ...body]),
  ]);
}

function updateFunction(): number[] {
  const advance = (bytes: number) => [
    ...[...op.get(POINTER), ...op.i32(bytes), ...op.i32Add, ...op.set(POINTER)],
    ...[...op.get(LEFT), ...op.i32(bytes), ...op.i32Subtract, ...op.set(LEFT)],
  ];
  const lookUp = (table: number) => [
    ...[...op.wrap, ...op.i32(255), ...op.i32And, ...op.i32(3), ...op.i32ShiftLeft],
    ...op.load64(table * TABLE_BYTES),
  ];
  const byteOf = (local: number, n: number, bytesAfter: number) => [
    ...op.get(local),
    ...(n === 0 ? [] : [...op.i64(8 * n), ...op.i64ShiftRight]),
    ...lookUp(bytesAfter - n),
    ...op.i64Xor,
  ];
  return [
    ...[...op.block, ...op.loop],
    ...[...op.get(LEFT), ...op.i32(16), ...op.i32IsLess, ...op.brIf(1)],
    ...[...op.get(CRC), ...op.get(POINTER), ...op.load64(0), ...op.i64Xor, ...op.set(CRC)],
    ...[...op.get(POINTER), ...op.load64(8), ...op.set(NEXT)],
    ...op.i64(0),
    ...EIGHT.flatMap((n) => byteOf(NEXT, n, 7)),
    ...EIGHT.flatMap((n) => byteOf(CRC, n, 15)),
    ...[...op.set(CRC), ...advance(16), ...op.br(0)],
    ...[...op.end, ...op.end],
    ...[...op.block, ...op.loop],
    ...[...op.get(LEFT), ...op.i32IsZero, ...op.brIf(1)],
    ...[...op.get(CRC), ...op.get(POINTER), ...op.load8, ...op.i64Xor, ...lookUp(0)],
    ...[...op.get(CRC), ...op.i64(8), ...op.i64ShiftRight, ...op.i64Xor],
    ...[...op.set(CRC), ...advance(1), ...op.br(0)],
    ...[...op.end, ...op.end],
    ...op.get(CRC),
  ];
}

const section = (id: number, content: number[]): number[] => [id, ...unsigned(content.length), ...content];

const name = (text: string): number[] => [text.length, ...Buffer.from(text)];

/** LEB128 of a number from 0. */
function unsigned(value: number): number[] {
  return value < 128 ? [value] : [(value & 127) | 128, ...unsigned(value >>> 7)];
}

/** LEB128 of a number from 0 where a sign is expected: the last byte keeps bit 6 free. */
function signed(value: number): number[] {
  return value < 64 ? [value] : [(value & 127) | 128, ...signed(value >>> 7)];
}
