// Iterates over batches of items one by one. A generator would take three promises and two event-loop turns per item,
// most of the time of a listing.

type Batches<T> = AsyncGenerator<readonly T[], void, undefined>;

const batchesOfItems = new WeakMap<object, Batches<unknown>>();

/** The batches behind `eachOf`, for callers that can use several items at once. `undefined` if there are none. */
export const batchesOf = <T>(items: AsyncIterable<T>): Batches<T> | undefined =>
  batchesOfItems.get(items) as Batches<T> | undefined;

/** The items of `batches`, in their order; ending the iteration ends the batches. */
export function eachOf<T>(batches: Batches<T>): AsyncGenerator<T, void, undefined> {
  let batch: readonly T[] = [];
  let at = 0;

  async function next(): Promise<IteratorResult<T, void>> {
    for (;;) {
      if (at < batch.length) return { value: batch[at++] as T, done: false };
      const { value, done } = await batches.next();
      if (done) return { value: undefined, done };
      batch = value;
      at = 0;
    }
  }

  async function end(ending: Promise<unknown>): Promise<IteratorResult<T, void>> {
    batch = [];
    await ending;
    return { value: undefined, done: true };
  }

  const items: AsyncGenerator<T, void, undefined> = {
    [Symbol.asyncIterator]() {
      return this;
    },
    next: () =>
      at < batch.length ? Promise.resolve({ value: batch[at++] as T, done: false as const }) : next(),
    return: () => end(batches.return()),
    throw: (error) => end(batches.throw(error)),
  };
  batchesOfItems.set(items, batches);
  return items;
}
