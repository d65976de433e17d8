// Suggests the name that somebody may have mistyped.

/** The known name with the smallest edit distance. */
export function nearest(name: string, known: readonly string[]): string {
  return known.reduce(
    (best, one) => (distance(name, one) < distance(name, best) ? one : best),
    known[0] as string,
  );
}

/** Levenshtein's edit distance. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next[j] = Math.min(
        (row[j] as number) + 1,
        (next[j - 1] as number) + 1,
        (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1),
      );
    }
    row = next;
  }
  return row[b.length] as number;
}
