// A counting semaphore, first come, first served.

export interface Slots {
  /** Runs `work` when a slot is free, and frees it whatever happens. */
  run<T>(work: () => Promise<T>): Promise<T>;
}

/** `count` slots. */
export function createSlots(count: number): Slots {
  let free = count;
  const waiting: (() => void)[] = [];
  return {
    async run(work) {
      if (free > 0) free--;
      else await new Promise<void>((resolve) => waiting.push(resolve));
      try {
        return await work();
      } finally {
        const next = waiting.shift();
        if (next === undefined) free++;
        else next();
      }
    },
  };
}
