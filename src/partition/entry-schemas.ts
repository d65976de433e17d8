// The schema of the current entry: all messages of an entry have one version, and most entries have that of the
// previous one, which needs no request.
import type { EntryId, SourcePartition } from '../ports.ts';
import type { NeededSchema, SchemaKeeper } from '../run/schema-keeper.ts';

/** Of messages without a schema: producers of bytes write a version of no bytes, or none. */
const NONE = new Uint8Array();

/** One for each partition. */
export class EntrySchemas {
  readonly #keeper: SchemaKeeper;
  readonly #partition: SourcePartition;
  readonly #isEarly: boolean;
  #version = NONE;
  #ledgerId = -1;
  #needed: NeededSchema | undefined;

  /**
   * `isEarly`: schemas are stored when their messages are read; otherwise when a file with such messages is stored.
   */
  constructor(keeper: SchemaKeeper, partition: SourcePartition, isEarly: boolean) {
    this.#keeper = keeper;
    this.#partition = partition;
    this.#isEarly = isEarly;
  }

  /** Of the last entry; `undefined` if its messages have no schema. */
  get needed(): NeededSchema | undefined {
    return this.#needed;
  }

  /** Takes the next entry. */
  take({ ledgerId }: EntryId, version: Uint8Array = NONE): void {
    if (ledgerId === this.#ledgerId && isSame(version, this.#version)) return;
    this.#ledgerId = ledgerId;
    this.#version = new Uint8Array(version);
    this.#needed =
      version.length === 0 ? undefined : this.#keeper.need(this.#partition, ledgerId, this.#version);
    // The file that needs the schema reports the failure.
    if (this.#isEarly) void this.#needed?.().catch(() => undefined);
  }
}

function isSame(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let at = 0; at < a.length; at++) if (a[at] !== b[at]) return false;
  return true;
}
