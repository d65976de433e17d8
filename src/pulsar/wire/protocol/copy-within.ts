// The copy that LZ4 and Snappy have in common. It checks nothing: its callers have.

/** Appends `length` bytes at `at` that repeat those `offset` before them; the two may overlap. */
export function copyWithin(out: Uint8Array, at: number, offset: number, length: number): void {
  if (offset >= length && length > 32) {
    out.copyWithin(at, at - offset, at - offset + length);
    return;
  }
  for (let to = at, from = at - offset; to < at + length; to++, from++) out[to] = out[from] as number;
}
