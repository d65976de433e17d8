// Work on items several at a time, whose results come in the order of the items.

/**
 * What `work` makes of each item, in their order; `width` at a time, which is as far as it reads ahead. The first failure
 * is thrown where its result would have come.
 */
export async function* mapInOrder<Item, Result>(
  items: Iterable<Item> | AsyncIterable<Item>,
  width: number,
  work: (item: Item) => Promise<Result>,
): AsyncGenerator<Result, void, undefined> {
  const underWay: Promise<Result>[] = [];
  for await (const item of items) {
    const working = work(item);
    // It is awaited later, or never where one before it fails.
    working.catch(() => undefined);
    underWay.push(working);
    if (underWay.length >= width) yield await (underWay.shift() as Promise<Result>);
  }
  for (const working of underWay) yield await working;
}
