// Keeps Node below the function's memory limit. V8 frees the buffers of old messages when its own heap requires it,
// and does not know SCF's limit; so this calls the collector when memory in use exceeds a limit. Does nothing if
// there is enough memory.
import v8 from 'node:v8';
import vm from 'node:vm';

/** How many bytes pass between two checks: often enough for small functions, and cheap. */
const LOOK_EVERY_BYTES = 4 * 1_048_576;

/** Counts bytes that pass through memory, and collects garbage if more than `limitBytes` are in use. */
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
    // A small run needs no collector, and getting it takes a millisecond.
    collector ??= collectorOfNode();
    collector();
  };
}

/** Not process.memoryUsage(), which also makes a system call. */
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
