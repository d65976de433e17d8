// Places of a topic that wait to be delivered again, lowest first, each once.

/** A set that gives its smallest member first. */
export class PlaceQueue {
  readonly #members = new Set<number>();
  readonly #heap: number[] = [];

  get size(): number {
    return this.#members.size;
  }

  add(place: number): void {
    if (this.#members.has(place)) return;
    this.#members.add(place);
    const heap = this.#heap;
    let at = heap.push(place) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if ((heap[parent] as number) <= place) break;
      heap[at] = heap[parent] as number;
      at = parent;
    }
    heap[at] = place;
  }

  /** Removes and returns the smallest. */
  take(): number | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (first === undefined || last === undefined) return undefined;
    this.#members.delete(first);
    if (heap.length === 0) return first;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && (heap[child + 1] as number) < (heap[child] as number)) child++;
      if ((heap[child] as number) >= last) break;
      heap[at] = heap[child] as number;
      at = child;
    }
    heap[at] = last;
    return first;
  }

  clear(): void {
    this.#members.clear();
    this.#heap.length = 0;
  }
}
