// Zstd in WebAssembly, for Node versions whose zlib has none. It works on the calling thread, on 256 KB at a time: a
// separate thread would take 30 ms of CPU at its start, and 24 MB.
import type { Zstd } from '@hpcc-js/wasm-zstd';

/** Compresses and decompresses. Each result is a view of memory that the next call reuses: copy it first. */
export interface WasmZstd {
  /** One frame of the pieces, together `sizeBytes`. @throws Error */
  compress(pieces: Iterable<Uint8Array>, sizeBytes: number, level: number): Uint8Array;
  /** The content of a frame, at most `roomBytes`. @throws Error where it is damaged or larger */
  decompress(frame: Uint8Array, roomBytes: number): Uint8Array;
}

/**
 * The internals of the library that are used: its own methods return results through an array of numbers, which takes
 * eight times the memory and five times the time. Its version is pinned for this.
 */
interface Inside {
  readonly _mainModule: {
    readonly _module: {
      readonly HEAPU8: Uint8Array;
      _malloc(bytes: number): number;
      _free(at: number): void;
    };
  };
  readonly _zstdClass: {
    compress(to: number, toBytes: number, from: number, fromBytes: number, level: number): number;
    decompress(to: number, toBytes: number, from: number, fromBytes: number): number;
    isError(result: number): boolean;
    getErrorName(result: number): string;
  };
}

/** The largest compressed size of so many bytes (zstd's ZSTD_COMPRESSBOUND). */
export const compressedRoomBytes = (bytes: number): number => bytes + (bytes >> 8) + 64;

let loading: Promise<WasmZstd> | undefined;

/** Loads it at the first call. */
export function loadWasmZstd(): Promise<WasmZstd> {
  loading ??= import('@hpcc-js/wasm-zstd').then(async (library) => wasmZstd(await library.Zstd.load()));
  return loading;
}

function wasmZstd(zstd: Zstd): WasmZstd {
  const { _mainModule, _zstdClass: api } = zstd as unknown as Inside;
  const heap = _mainModule._module;
  const input = createRoom(heap);
  const output = createRoom(heap);
  /** Its memory may have moved, so its bytes are looked up each time. */
  const result = (sizeBytes: number): Uint8Array => {
    if (api.isError(sizeBytes)) throw new Error(api.getErrorName(sizeBytes));
    return heap.HEAPU8.subarray(output.at, output.at + sizeBytes);
  };
  const put = (pieces: Iterable<Uint8Array>): void => {
    let at = input.at;
    for (const piece of pieces) {
      heap.HEAPU8.set(piece, at);
      at += piece.length;
    }
  };
  return {
    compress(pieces, sizeBytes, level) {
      const roomBytes = compressedRoomBytes(sizeBytes);
      input.hold(sizeBytes);
      output.hold(roomBytes);
      put(pieces);
      return result(api.compress(output.at, roomBytes, input.at, sizeBytes, level));
    },
    decompress(frame, roomBytes) {
      input.hold(frame.length);
      output.hold(roomBytes);
      put([frame]);
      return result(api.decompress(output.at, roomBytes, input.at, frame.length));
    },
  };
}

/** A reused buffer in the memory of WebAssembly, which grows as needed. */
function createRoom(heap: Inside['_mainModule']['_module']): {
  readonly at: number;
  hold(bytes: number): void;
} {
  let at = 0;
  let sizeBytes = 0;
  return {
    get at() {
      return at;
    },
    hold(bytes) {
      if (bytes <= sizeBytes) return;
      heap._free(at);
      sizeBytes = 0;
      at = heap._malloc(bytes);
      if (at === 0) throw new Error(`there is no memory for ${bytes} bytes`);
      sizeBytes = bytes;
    },
  };
}
