// Work that never waits for anything keeps timers and signals from running: Ctrl-C would have to wait until it is over.

const SLICE_MS = 12;

/** A function to call now and then: lets the event loop go round once a slice of time was worked through. */
export function createBreather(): () => Promise<void> | undefined {
  let startedMs = performance.now();
  return () => {
    const nowMs = performance.now();
    if (nowMs - startedMs < SLICE_MS) return undefined;
    return new Promise((resolve) =>
      setImmediate(() => {
        startedMs = performance.now();
        resolve();
      }),
    );
  };
}
