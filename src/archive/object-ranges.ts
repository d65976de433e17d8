// What a verification keeps of the objects of a partition until it has seen all of them: where each begins and ends, in
// a few numbers, since there may be millions. Names are made of them again.
import type { Compression } from '../config.ts';
import { objectKey } from '../format/object-key.ts';
import type { MessageId } from '../ports.ts';
import { type ArchiveObject, partitionName } from './catalog.ts';
import { datesOf } from './coverage.ts';

const DAY_MS = 86_400_000;
const COMPRESSIONS: readonly Compression[] = ['none', 'gzip', 'zstd'];
/** Numbers of 32 bits that are kept of an object, and where they are: three for each end, its ledger by a place in a list. */
const WIDTH = 9;
const [FIRST, LAST, DAY, LAST_DAY, FLAGS] = [0, 3, 6, 7, 8];
/** Objects of a piece: what is kept grows by pieces, and none is ever copied. */
const PIECE = 512;
const UINT32 = 2 ** 32;
const [LISTED, RECOVERED, ENDED] = [1, 2, 4];

/** An object by its ends. */
export interface ObjectRange {
  readonly key: string;
  readonly compression: Compression;
  /** Of the least id that it is known to hold. */
  readonly first: MessageId;
  /** Of the greatest; `undefined` where nobody says it. */
  readonly last: MessageId | undefined;
  /** Days since 1970 of the date in its key, and of its last publish time where that is known and later. */
  readonly day: number;
  readonly lastDay: number;
  /** A manifest names it. */
  readonly isListed: boolean;
  readonly isRecovered: boolean;
}

/** What was read of an object's ends. */
export interface ReadEnds {
  readonly least?: MessageId;
  readonly greatest?: MessageId;
}

/** The objects of one partition. */
export class ObjectRanges {
  readonly topic: string;
  readonly partition: number;
  readonly #prefix: string;
  readonly #pieces: Int32Array[] = [];
  #count = 0;
  /** Ledgers, each with the upper half of entry ids (0 nearly always), in the order in which they were met. */
  readonly #ledgers: { readonly ledgerId: number; readonly upper: number }[] = [];
  readonly #ledgerPlaces = new Map<string, number>();
  /** Keys that do not follow from the least id: of messages in no order, or made longer than they need to be. */
  readonly #keys = new Map<number, string>();

  constructor(prefix: string, topic: string, partition: number) {
    this.#prefix = prefix;
    this.topic = topic;
    this.partition = partition;
  }

  add({ key, parts, facts, manifest, isRecovered }: ArchiveObject, read?: ReadEnds): void {
    const first = read?.least ?? facts.firstId;
    const last = read?.greatest ?? facts.lastId;
    const day = Date.parse(parts.date) / DAY_MS;
    const lastDay = Math.max(day, Math.floor(Math.max(0, ...datesOf(facts)) / DAY_MS));
    const flags =
      (manifest !== undefined ? LISTED : 0) |
      (isRecovered ? RECOVERED : 0) |
      (last !== undefined ? ENDED : 0) |
      (COMPRESSIONS.indexOf(parts.compression) << 4);
    const at = this.#count++ * WIDTH;
    if (at % (PIECE * WIDTH) === 0) this.#pieces.push(new Int32Array(PIECE * WIDTH));
    const piece = this.#pieces.at(-1) as Int32Array;
    const end = last ?? first;
    piece.set(
      [
        ...[this.#ledgerPlace(first), first.entryId, first.batchIndex],
        ...[this.#ledgerPlace(end), end.entryId, end.batchIndex],
        ...[day, lastDay, flags],
      ],
      at % (PIECE * WIDTH),
    );
    if (this.keyAt(at, first) !== key) this.#keys.set(at, key);
  }

  #ledgerPlace({ ledgerId, entryId }: MessageId): number {
    const upper = Math.floor(entryId / UINT32);
    const name = `${ledgerId}:${upper}`;
    const known = this.#ledgerPlaces.get(name);
    if (known !== undefined) return known;
    this.#ledgerPlaces.set(name, this.#ledgers.length);
    return this.#ledgers.push({ ledgerId, upper }) - 1;
  }

  /** In the order of messages. May be repeated. */
  *inOrder(): Generator<ObjectRange, void, undefined> {
    const order = Array.from({ length: this.#count }, (_, i) => i * WIDTH);
    const compare = (a: number, b: number) => {
      const [one, other] = [this.idAt(a + FIRST), this.idAt(b + FIRST)];
      const difference = one.ledgerId - other.ledgerId || one.entryId - other.entryId;
      return difference || Math.max(0, one.batchIndex) - Math.max(0, other.batchIndex) || a - b;
    };
    let isInOrder = true;
    for (let i = 1; i < order.length && isInOrder; i++)
      isInOrder = compare(order[i - 1] as number, order[i] as number) <= 0;
    for (const at of isInOrder ? order : order.sort(compare)) yield new RangeAt(this, at);
  }

  /** The number at a place. */
  numberAt(at: number): number {
    return (this.#pieces[Math.floor(at / (PIECE * WIDTH))] as Int32Array)[at % (PIECE * WIDTH)] as number;
  }

  /** The id at a place. */
  idAt(at: number): MessageId {
    const { ledgerId, upper } = this.#ledgers[this.numberAt(at)] as { ledgerId: number; upper: number };
    return {
      ledgerId,
      entryId: upper * UINT32 + (this.numberAt(at + 1) >>> 0),
      partition: this.partition,
      batchIndex: this.numberAt(at + 2),
    };
  }

  /** The key at a place: it follows from the id there, unless it was kept. */
  keyAt(at: number, id: Omit<MessageId, 'partition'>): string {
    const [tenant = '', namespace = '', topic = ''] = this.topic.replace('persistent://', '').split('/');
    const first = {
      id: { ...id, partition: this.partition },
      publishTimeMs: this.numberAt(at + DAY) * DAY_MS,
    };
    const compression = COMPRESSIONS[this.numberAt(at + FLAGS) >> 4] as Compression;
    return this.#keys.get(at) ?? objectKey(this.#prefix, { tenant, namespace, topic }, first, compression);
  }
}

/** One of them; what is asked for is made then, since mostly little is. */
class RangeAt implements ObjectRange {
  readonly #ranges: ObjectRanges;
  readonly #at: number;

  constructor(ranges: ObjectRanges, at: number) {
    this.#ranges = ranges;
    this.#at = at;
  }

  get key(): string {
    return this.#ranges.keyAt(this.#at, this.first);
  }

  get compression(): Compression {
    return COMPRESSIONS[this.#number(FLAGS) >> 4] as Compression;
  }

  get first(): MessageId {
    return this.#id(FIRST);
  }

  get last(): MessageId | undefined {
    return this.#has(ENDED) ? this.#id(LAST) : undefined;
  }

  get day(): number {
    return this.#number(DAY);
  }

  get lastDay(): number {
    return this.#number(LAST_DAY);
  }

  get isListed(): boolean {
    return this.#has(LISTED);
  }

  get isRecovered(): boolean {
    return this.#has(RECOVERED);
  }

  #number(what: number): number {
    return this.#ranges.numberAt(this.#at + what);
  }

  #has(flag: number): boolean {
    return (this.#number(FLAGS) & flag) !== 0;
  }

  #id(what: number): MessageId {
    return this.#ranges.idAt(this.#at + what);
  }
}

/** The objects of every partition, by its name. */
export class PartitionRanges extends Map<string, ObjectRanges> {
  readonly #prefix: string;

  constructor(prefix: string) {
    super();
    this.#prefix = prefix;
  }

  addObject(object: ArchiveObject, read?: ReadEnds): void {
    const name = partitionName(object.topic, object.parts.partition);
    const own = this.get(name) ?? new ObjectRanges(this.#prefix, object.topic, object.parts.partition);
    this.set(name, own);
    own.add(object, read);
  }
}
