// The thread of zstd-thread.ts: zstd in WebAssembly, one job after the other. Plain JavaScript, because a thread is
// started from a file, also where the sources run as they are.
import { parentPort } from 'node:worker_threads';
import { Zstd } from '@hpcc-js/wasm-zstd';

const zstd = await Zstd.load();
// The library itself gives its results out by way of an array of numbers, which takes eight times their memory and five
// times the time. Its version is pinned for this.
const { _mainModule: heap, _zstdClass: api } = zstd;

/**
 * Does the first `sizeBytes` of the memory, writes the result over them, and reports its size.
 * @param {{ kind: string, memory: ArrayBuffer, sizeBytes: number, parameter: number }} job
 */
function run({ kind, memory, sizeBytes, parameter }) {
  const bytes = new Uint8Array(memory);
  const input = heap.dataToHeap(bytes.subarray(0, sizeBytes));
  const output = heap.malloc(memory.byteLength);
  try {
    const resultBytes =
      kind === 'compress'
        ? api.compress(output.ptr, output.size, input.ptr, input.size, parameter)
        : api.decompress(output.ptr, output.size, input.ptr, input.size);
    if (api.isError(resultBytes)) throw new Error(api.getErrorName(resultBytes));
    bytes.set(heap._module.HEAPU8.subarray(output.ptr, output.ptr + resultBytes));
    return resultBytes;
  } finally {
    heap.free(output);
    heap.free(input);
  }
}

parentPort?.on('message', (job) => {
  try {
    const sizeBytes = run(job);
    parentPort?.postMessage({ id: job.id, memory: job.memory, sizeBytes }, [job.memory]);
  } catch (error) {
    parentPort?.postMessage({ id: job.id, fault: String(error?.message ?? error) });
  }
});
