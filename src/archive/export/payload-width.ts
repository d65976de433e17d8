// Keeps the columns of a payload few: each field is one, which a Parquet file has memory for in every row group. Objects
// with many fields in all (maps that grow, of objects) become JSON text, and are named; the others keep their types.
import type { OnJsonText, PayloadType } from './payload-type.ts';

const MAX_COLUMNS = 1_000;
const REASON = `payloads have more than ${MAX_COLUMNS} fields in all`;

/** The type, or one with no more than 1,000 fields in all. */
export function narrowed(type: PayloadType, path: string, onJson: OnJsonText): PayloadType {
  const counts = new Map<PayloadType, number>();
  let now = type;
  for (let most = countIn(now, counts); most > MAX_COLUMNS; most = countIn(now, counts)) {
    let best: Inner | undefined;
    for (const inner of innerObjects(now, path, (one) => one, counts))
      if (best === undefined || isBetter(inner, best, most - MAX_COLUMNS)) best = inner;
    onJson(best?.path ?? path, REASON);
    now = best?.become({ kind: 'json' }) ?? { kind: 'json' };
  }
  return now;
}

/** An object within a payload. */
interface Inner {
  readonly path: string;
  readonly columns: number;
  /** The payload with something else in its place. */
  readonly become: (other: PayloadType) => PayloadType;
}

/** The smallest that is enough by itself; else the largest. */
function isBetter(one: Inner, best: Inner, excess: number): boolean {
  if (one.columns > excess) return best.columns <= excess || one.columns < best.columns;
  return best.columns <= excess && one.columns > best.columns;
}

function countIn(type: PayloadType, counts: Map<PayloadType, number>): number {
  const known = counts.get(type);
  if (known !== undefined) return known;
  let count = 1;
  if (type.kind === 'list') count = countIn(type.items, counts);
  if (type.kind === 'map') count = countIn(type.values, counts);
  if (type.kind === 'struct') {
    count = 0;
    for (const one of type.fields.values()) count += countIn(one, counts);
  }
  counts.set(type, count);
  return count;
}

function* innerObjects(
  type: PayloadType,
  path: string,
  become: Inner['become'],
  counts: Map<PayloadType, number>,
): Generator<Inner, void, undefined> {
  const within = function* (one: PayloadType, own: string, with_: Inner['become']) {
    if (one.kind === 'struct') yield { path: own, columns: countIn(one, counts), become: with_ };
    yield* innerObjects(one, own, with_, counts);
  };
  if (type.kind === 'list') yield* within(type.items, `${path}[]`, (items) => become({ ...type, items }));
  if (type.kind === 'map') yield* within(type.values, `${path}[]`, (values) => become({ ...type, values }));
  if (type.kind === 'struct')
    for (const [name, one] of type.fields)
      yield* within(one, `${path}.${name}`, (other) =>
        become({ ...type, fields: new Map(type.fields).set(name, other) }),
      );
}
