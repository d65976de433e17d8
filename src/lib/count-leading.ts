// Finds a place in what is in order, by halves.

/** How many of the items, from the first on, it is true of: of none behind one of which it is not. */
export function countLeading<T>(items: readonly T[], isLeading: (item: T) => boolean): number {
  let [low, high] = [0, items.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (isLeading(items[middle] as T)) low = middle + 1;
    else high = middle;
  }
  return low;
}
