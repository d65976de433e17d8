// What a verification keeps of the objects of a partition until it has seen all of them: where each begins and ends, in
// a few numbers, since there may be millions. Names are made of them again.
import type { Compression } from '../config.ts';
import { objectKey } from '../format/object-key.ts';
import type { MessageId } from '../ports.ts';
import { type ArchiveObject, partitionName } from './catalog.ts';
import { datesOf } from './coverage.ts';

const DAY_MS = 86_400_000;
const COMPRESSIONS: readonly Compression[] = ['none', 'gzip', 'zstd'];
/** Numbers that are kept of an object, and where they are: three for each end. */
const WIDTH = 9;
const [FIRST, LAST, DAY, LAST_DAY, FLAGS] = [0, 3, 6, 7, 8];
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
  readonly #numbers: number[] = [];
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
    const at = this.#numbers.length;
    this.#numbers.push(first.ledgerId, first.entryId, first.batchIndex);
    this.#numbers.push(last?.ledgerId ?? 0, last?.entryId ?? 0, last?.batchIndex ?? 0, day, lastDay, flags);
    if (this.keyAt(at, first) !== key) this.#keys.set(at, key);
  }

  /** In the order of messages. May be repeated. */
  *inOrder(): Generator<ObjectRange, void, undefined> {
    const order = Array.from({ length: this.#numbers.length / WIDTH }, (_, i) => i * WIDTH);
    const numbers = this.#numbers;
    const compare = (a: number, b: number) => {
      for (let i = 0; i < 2; i++) {
        const difference = (numbers[a + i] as number) - (numbers[b + i] as number);
        if (difference !== 0) return difference;
      }
      return Math.max(0, numbers[a + 2] as number) - Math.max(0, numbers[b + 2] as number) || a - b;
    };
    let isInOrder = true;
    for (let i = 1; i < order.length && isInOrder; i++)
      isInOrder = compare(order[i - 1] as number, order[i] as number) <= 0;
    for (const at of isInOrder ? order : order.sort(compare)) yield new RangeAt(this, at);
  }

  /** The number at a place, and the key that the numbers there do not tell. */
  readonly numberAt = (at: number): number => this.#numbers[at] as number;

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
    const { partition } = this.#ranges;
    return {
      ledgerId: this.#number(what),
      entryId: this.#number(what + 1),
      partition,
      batchIndex: this.#number(what + 2),
    };
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
