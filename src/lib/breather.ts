// Lets timers and signals run during long synchronous work: otherwise Ctrl-C would wait until it is over.

const SLICE_MS = 12;

/** A function to call regularly: yields to the event loop after each time slice. */
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
