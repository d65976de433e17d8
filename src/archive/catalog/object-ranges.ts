// The ranges of a partition's objects for a verification: where each begins and ends, in a few numbers, because there
// can be millions. Keys are derived from them.
import { COMPRESSIONS, type Compression, objectKey } from '../../format/object-key.ts';
import type { MessageId } from '../../ports.ts';
import { type ArchiveObject, partitionName } from './catalog.ts';
import { datesOf } from './object-facts.ts';

const DAY_MS = 86_400_000;
/** Of an object are kept its first entry (two numbers of 64 bits), and six numbers of 32 bits. */
const WIDTH = 6;
const [TO_LAST, FIRST_BATCH, LAST_BATCH, DAY, LAST_DAY, FLAGS] = [0, 1, 2, 3, 4, 5];
const [LISTED, RECOVERED, ENDED] = [1, 2, 4];
/** Objects of a piece: what is kept grows by pieces, and none is ever copied. */
const PIECE = 512;
const INT32_MAX = 2 ** 31 - 1;

interface Piece {
  /** Ledger and entry of each object's first message. */
  readonly entries: Float64Array;
  /** How many entries behind it the last one is, and the rest. */
  readonly numbers: Int32Array;
}

/** An object by its ends. */
export interface ObjectRange {
  /** Its number in its partition, from 0, in listing order. */
  readonly place: number;
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
  readonly #pieces: Piece[] = [];
  #count = 0;
  /** Last messages in another ledger than the first, or far behind it. */
  readonly #lasts = new Map<number, MessageId>();
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
    const at = this.#count++;
    const place = at % PIECE;
    if (place === 0)
      this.#pieces.push({
        entries: new Float64Array(2 * PIECE),
        numbers: new Int32Array(WIDTH * PIECE),
      });
    const { entries, numbers } = this.#pieces.at(-1) as Piece;
    entries.set([first.ledgerId, first.entryId], 2 * place);
    const toLast = last?.ledgerId === first.ledgerId ? last.entryId - first.entryId : Number.NaN;
    if (last !== undefined && !(Math.abs(toLast) <= INT32_MAX)) this.#lasts.set(at, last);
    numbers.set([toLast, first.batchIndex, last?.batchIndex ?? 0, day, lastDay, flags], WIDTH * place);
    if (this.keyAt(at, first) !== key) this.#keys.set(at, key);
  }

  /** In the order of messages. May be repeated. */
  *inOrder(): Generator<ObjectRange, void, undefined> {
    const order = Array.from({ length: this.#count }, (_, i) => i);
    const compare = (a: number, b: number) => {
      const [one, other] = [this.firstAt(a), this.firstAt(b)];
      const difference = one.ledgerId - other.ledgerId || one.entryId - other.entryId;
      return difference || Math.max(0, one.batchIndex) - Math.max(0, other.batchIndex) || a - b;
    };
    let isInOrder = true;
    for (let i = 1; i < order.length && isInOrder; i++)
      isInOrder = compare(order[i - 1] as number, order[i] as number) <= 0;
    for (const at of isInOrder ? order : order.sort(compare)) yield new RangeAt(this, at);
  }

  /** A number that is kept of the object at a place. */
  numberAt(at: number, what: number): number {
    const { numbers } = this.#pieces[Math.floor(at / PIECE)] as Piece;
    return numbers[WIDTH * (at % PIECE) + what] as number;
  }

  firstAt(at: number): MessageId {
    const { entries } = this.#pieces[Math.floor(at / PIECE)] as Piece;
    const place = 2 * (at % PIECE);
    return {
      ledgerId: entries[place] as number,
      entryId: entries[place + 1] as number,
      partition: this.partition,
      batchIndex: this.numberAt(at, FIRST_BATCH),
    };
  }

  lastAt(at: number): MessageId {
    const { ledgerId, entryId, partition } = this.firstAt(at);
    const batchIndex = this.numberAt(at, LAST_BATCH);
    return (
      this.#lasts.get(at) ?? {
        ledgerId,
        entryId: entryId + this.numberAt(at, TO_LAST),
        partition,
        batchIndex,
      }
    );
  }

  /** The key at a place: it follows from the id there, unless it was kept. */
  keyAt(at: number, id: Omit<MessageId, 'partition'>): string {
    const [tenant = '', namespace = '', topic = ''] = this.topic.replace('persistent://', '').split('/');
    const first = {
      id: { ...id, partition: this.partition },
      publishTimeMs: this.numberAt(at, DAY) * DAY_MS,
    };
    const compression = COMPRESSIONS[this.numberAt(at, FLAGS) >> 4] as Compression;
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

  get place(): number {
    return this.#at;
  }

  get key(): string {
    return this.#ranges.keyAt(this.#at, this.first);
  }

  get compression(): Compression {
    return COMPRESSIONS[this.#number(FLAGS) >> 4] as Compression;
  }

  get first(): MessageId {
    return this.#ranges.firstAt(this.#at);
  }

  get last(): MessageId | undefined {
    return this.#has(ENDED) ? this.#ranges.lastAt(this.#at) : undefined;
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
    return this.#ranges.numberAt(this.#at, what);
  }

  #has(flag: number): boolean {
    return (this.#number(FLAGS) & flag) !== 0;
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
