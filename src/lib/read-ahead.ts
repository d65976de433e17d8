// Concatenates sequences and reads the next ones ahead: for paged lists, where each page costs a round trip. Holds a
// limited number of items of each.

/**
 * The items of `sources`, in their order. Reads `width` sources at a time, each at most `ahead` items ahead of the
 * consumer. Throws the first failure in the place of its items; ending the iteration ends all sources.
 */
export async function* readAhead<T>(
  sources: Iterable<() => AsyncIterable<T>> | AsyncIterable<() => AsyncIterable<T>>,
  { width, ahead }: { readonly width: number; readonly ahead: number },
): AsyncGenerator<T, void, undefined> {
  const waiting = Symbol.iterator in sources ? sources[Symbol.iterator]() : sources[Symbol.asyncIterator]();
  const open: Reader<T>[] = [];
  const fill = async () => {
    while (open.length < width) {
      const next = await waiting.next();
      if (next.done) return;
      open.push(startReader(next.value(), ahead));
    }
  };
  try {
    for (await fill(); open.length > 0; await fill()) {
      const reader = open[0] as Reader<T>;
      for (let items = await reader.take(); items !== undefined; items = await reader.take()) yield* items;
      open.shift();
    }
  } finally {
    for (const reader of open) reader.stop();
    await waiting.return?.();
  }
}

interface Reader<T> {
  /** The items that have arrived, at least one; `undefined` at the end. */
  take(): Promise<readonly T[] | undefined>;
  stop(): void;
}

function startReader<T>(source: AsyncIterable<T>, ahead: number): Reader<T> {
  let items: T[] = [];
  let state: 'open' | 'ended' | 'stopped' = 'open';
  let failure: { readonly error: unknown } | undefined;
  let wakeReader: (() => void) | undefined;
  let wakeSource: (() => void) | undefined;

  async function pump(): Promise<void> {
    try {
      for await (const item of source) {
        items.push(item);
        wakeReader?.();
        while (items.length >= ahead && state === 'open')
          await new Promise<void>((resolve) => {
            wakeSource = resolve;
          });
        if (state === 'stopped') return;
      }
    } catch (error) {
      failure = { error };
    } finally {
      state = 'ended';
      wakeReader?.();
    }
  }
  void pump();

  return {
    async take() {
      while (items.length === 0 && state === 'open')
        await new Promise<void>((resolve) => {
          wakeReader = resolve;
        });
      if (items.length > 0) {
        const taken = items;
        items = [];
        wakeSource?.();
        return taken;
      }
      if (failure !== undefined) throw failure.error;
      return undefined;
    },
    stop() {
      state = 'stopped';
      wakeSource?.();
    },
  };
}
