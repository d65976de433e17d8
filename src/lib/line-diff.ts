// The difference of two texts, line by line: the longest common lines stay, the others are removed or added.

export interface DiffLine {
  readonly kind: 'same' | 'gone' | 'new';
  readonly text: string;
}

/** Beyond so many pairs of lines, the difference is one piece: the shortest difference would take too long. */
const MAX_PAIRS = 25_000_000;

/** The lines of both texts, in order; `gone` are of `before` alone, `new` of `after`. */
export function diffLines(before: string, after: string): DiffLine[] {
  const [a, b] = [before.split('\n'), after.split('\n')];
  let start = 0;
  while (start < a.length && start < b.length && a[start] === b[start]) start++;
  let end = 0;
  while (end < a.length - start && end < b.length - start && a[a.length - 1 - end] === b[b.length - 1 - end])
    end++;
  return [
    ...linesOf('same', a.slice(0, start)),
    ...diffMiddle(a.slice(start, a.length - end), b.slice(start, b.length - end)),
    ...linesOf('same', a.slice(a.length - end)),
  ];
}

/** The lines that differ, each with `context` lines around it; a gap between them is `undefined`. */
export function withContext(lines: readonly DiffLine[], context: number): (DiffLine | undefined)[] {
  const shown = new Set<number>();
  for (const [at, { kind }] of lines.entries())
    if (kind !== 'same') for (let near = at - context; near <= at + context; near++) shown.add(near);
  const picked: (DiffLine | undefined)[] = [];
  for (const [at, line] of lines.entries())
    if (shown.has(at)) picked.push(line);
    else if (picked.at(-1) !== undefined) picked.push(undefined);
  if (picked.at(-1) === undefined) picked.pop();
  return picked;
}

function diffMiddle(a: readonly string[], b: readonly string[]): DiffLine[] {
  if (a.length * b.length > MAX_PAIRS) return [...linesOf('gone', a), ...linesOf('new', b)];
  const width = b.length + 1;
  // How many lines are in common from there on.
  const common = new Uint32Array((a.length + 1) * width);
  for (let i = a.length - 1; i >= 0; i--)
    for (let j = b.length - 1; j >= 0; j--) {
      const [down, right] = [common[(i + 1) * width + j] as number, common[i * width + j + 1] as number];
      common[i * width + j] =
        a[i] === b[j] ? (common[(i + 1) * width + j + 1] as number) + 1 : Math.max(down, right);
    }
  const lines: DiffLine[] = [];
  let [i, j] = [0, 0];
  while (i < a.length && j < b.length) {
    if (a[i] === b[j]) {
      lines.push({ kind: 'same', text: a[i] as string });
      i++;
      j++;
    } else if ((common[(i + 1) * width + j] as number) >= (common[i * width + j + 1] as number))
      lines.push({ kind: 'gone', text: a[i++] as string });
    else lines.push({ kind: 'new', text: b[j++] as string });
  }
  return [...lines, ...linesOf('gone', a.slice(i)), ...linesOf('new', b.slice(j))];
}

const linesOf = (kind: DiffLine['kind'], texts: readonly string[]): DiffLine[] =>
  texts.map((text) => ({ kind, text }));
