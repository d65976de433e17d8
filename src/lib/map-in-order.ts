// Processes several items in parallel and returns the results in the order of the items.

/**
 * The results of `work` for each item, in order; `width` at a time, which is also how far it reads ahead. Throws the
 * first failure in the place of its result.
 */
export async function* mapInOrder<Item, Result>(
  items: Iterable<Item> | AsyncIterable<Item>,
  width: number,
  work: (item: Item) => Promise<Result>,
): AsyncGenerator<Result, void, undefined> {
  const underWay: Promise<Result>[] = [];
  for await (const item of items) {
    const working = work(item);
    // It is awaited later, or never if an earlier one fails.
    working.catch(() => undefined);
    underWay.push(working);
    if (underWay.length >= width) yield await (underWay.shift() as Promise<Result>);
  }
  for (const working of underWay) yield await working;
}
