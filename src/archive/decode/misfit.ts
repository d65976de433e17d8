// Why bytes do not fit their schema: thrown inside the decoders, which return it as a sentence and never throw it.

/** A value that does not fit its schema, and in which field. */
export class Misfit extends Error {
  override readonly name = 'Misfit';
  readonly #path: string[] = [];

  /** Says in which field it is; called from the inside out. */
  within(field: string): this {
    if (this.#path.length < MAX_NAMED) this.#path.unshift(field);
    return this;
  }

  /** One sentence for a person. */
  get reason(): string {
    return this.#path.length === 0 ? this.message : `${this.#path.join('.')}: ${this.message}`;
  }
}

/** Values may be nested without end; the outermost names lead to the place. */
const MAX_NAMED = 8;

/** What failed, as one short sentence. */
export function reasonOf(thrown: unknown): string {
  if (thrown instanceof Misfit) return thrown.reason.slice(0, MAX_REASON_LENGTH);
  if (thrown instanceof RangeError && /call stack/.test(thrown.message)) return 'it is nested too deeply';
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  return message.slice(0, MAX_REASON_LENGTH);
}

const MAX_REASON_LENGTH = 300;
