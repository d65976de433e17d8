// Keeps Node below the function's memory. V8 frees the buffers of old messages when its own heap asks for it, and its
// heap does not know of SCF's limit; so the collector is called when what is in use passes a bound. It changes nothing
// where memory is plentiful.
import v8 from 'node:v8';
import vm from 'node:vm';

/** Memory is looked at each time so many bytes have passed: often enough for small functions, and cheap. */
const LOOK_EVERY_BYTES = 4 * 1_048_576;

/** Counts bytes that pass through memory, and collects garbage where more than `limitBytes` are in use. */
export function createMemoryPressure(
  limitBytes: number,
  collect?: () => void,
  inUse: () => number = inUseBytes,
): (bytes: number) => void {
  let passedBytes = 0;
  let collector = collect;
  return (bytes) => {
    passedBytes += bytes;
    if (passedBytes < LOOK_EVERY_BYTES) return;
    passedBytes = 0;
    if (inUse() <= limitBytes) return;
    // A run with little to do needs none, and having it takes a millisecond.
    collector ??= collectorOfNode();
    collector();
  };
}

/** Not process.memoryUsage(), which asks the system as well. */
function inUseBytes(): number {
  const { used_heap_size: heapBytes, external_memory: externalBytes } = v8.getHeapStatistics();
  return heapBytes + externalBytes;
}

/** V8's collector, which Node shows only on request. */
function collectorOfNode(): () => void {
  v8.setFlagsFromString('--expose-gc');
  const collect: unknown = vm.runInNewContext('gc');
  return typeof collect === 'function' ? () => collect() : () => undefined;
}
