// Stores the schemas of a run's messages: requests each version from the broker, and stores it before the first
// object that needs it. A missing schema does not fail the run: it is logged once, counted, and requested again by
// the next run with this version. A second definition under the same version gets another name.
import { BackupError } from '../errors.ts';
import {
  type KeptSchema,
  keepSchema,
  MAX_VERSION_BYTES,
  schemaFolder,
  versionText,
} from '../format/kept-schema.ts';
import { storeSchema } from '../format/store-schema.ts';
import { createSlots } from '../lib/semaphore.ts';
import { untilAborted } from '../lib/until-aborted.ts';
import type { Clock, Logger, ObjectStore, SchemaAnswer, SourcePartition, TopicSchema } from '../ports.ts';
import type { TopicName } from '../topic-name.ts';
import type { Pace } from './deadline.ts';

/** Large schemas take several times their size while they are processed. */
const AT_ONCE = 2;
/** The share of the time left after reading that waiting for a broker may take. */
const ANSWER_GRACE_MS = 500;

/** What a keeper needs of its run. */
export interface SchemaKeeperOptions {
  readonly store: ObjectStore;
  readonly prefix: string;
  readonly topic: TopicName;
  /** Counts the versions that cannot be had. */
  readonly tally: { schemasMissing: number };
  readonly logger: Logger;
  readonly clock: Clock;
  readonly pace: Pace;
}

/**
 * Begins to store a schema at its first call. Resolves to the name of the schema's object once it is durable;
 * `undefined` if it is not available. @throws BackupError `store`
 */
export type NeededSchema = () => Promise<string | undefined>;

/** One for all partitions of a run. */
export class SchemaKeeper {
  readonly #options: SchemaKeeperOptions;
  /** By partition, ledger and version: a recreated topic has other ledgers. */
  readonly #needed = new Map<string, NeededSchema>();
  /** By version and definition. */
  readonly #kept = new Map<string, Promise<string>>();
  readonly #missing = new Set<string>();
  readonly #slots = createSlots(AT_ONCE);
  readonly #impatient = new AbortController();

  constructor(options: SchemaKeeperOptions) {
    const { pace, clock } = options;
    this.#options = options;
    const onEnd = () => void clock.sleep(ANSWER_GRACE_MS, pace.storing).then(this.#hurry, this.#hurry);
    if (pace.reading.aborted) onEnd();
    else pace.reading.addEventListener('abort', onEnd, { once: true });
  }

  /** The schema of a version in messages of this ledger; the same function for the same schema. */
  need(partition: SourcePartition, ledgerId: number, version: Uint8Array): NeededSchema {
    const key = `${partition.partition} ${ledgerId} ${versionText(version)}`;
    const known = this.#needed.get(key);
    if (known !== undefined) return known;
    let keeping: Promise<string | undefined> | undefined;
    const needed = () => {
      keeping ??= this.#begin(partition, version);
      return keeping;
    };
    this.#needed.set(key, needed);
    return needed;
  }

  #begin(partition: SourcePartition, version: Uint8Array): Promise<string | undefined> {
    const keeping = this.#slots.run(() => this.#keep(partition, version));
    // The creation of the object throws the failure; there may be no such creation.
    keeping.catch(() => undefined);
    return keeping;
  }

  readonly #hurry = (): void => this.#impatient.abort();

  async #keep(partition: SourcePartition, version: Uint8Array): Promise<string | undefined> {
    const answer = await this.#ask(partition, version);
    if (answer.kind === 'unknown') return this.#isMissing(version, answer);
    try {
      return await this.#store(version, answer.schema);
    } catch (error) {
      // A temporary failure fails the run, as for the object that needs the schema.
      if (!(error instanceof BackupError) || error.retryable) throw error;
      return this.#isMissing(version, { reason: error.message, hint: error.hint });
    }
  }

  #ask(partition: SourcePartition, version: Uint8Array): Promise<SchemaAnswer> {
    if (version.length > MAX_VERSION_BYTES)
      return Promise.resolve({
        kind: 'unknown',
        reason: `${version.length} bytes are no version of a schema`,
      });
    const late = () => new BackupError('source', 'the broker had not answered when the time was over');
    return untilAborted(partition.schema(version), this.#impatient.signal, late).catch(
      (error: BackupError): SchemaAnswer => ({ kind: 'unknown', reason: error.message }),
    );
  }

  async #isMissing(
    version: Uint8Array,
    { reason, hint }: { readonly reason: string; readonly hint?: string | undefined },
  ): Promise<undefined> {
    const text = versionText(version);
    if (this.#missing.has(text) || (await this.#isKeptAlready(text))) return undefined;
    this.#missing.add(text);
    const { tally, logger } = this.#options;
    const isFirst = tally.schemasMissing++ === 0;
    if (isFirst) logger.warn({ version: text, reason, hint }, 'schema not kept');
    return undefined;
  }

  /** An earlier run stored a schema that the broker no longer has. */
  async #isKeptAlready(version: string): Promise<boolean> {
    const { store, prefix, topic, pace } = this.#options;
    const start = `${schemaFolder(prefix, topic)}${version}`;
    try {
      for await (const { key } of store.list(start, { signal: pace.storing })) {
        if (/^(?:-[0-9a-f]{12})?\.json$/.test(key.slice(start.length))) return true;
      }
    } catch {
      // Then it is reported once too often.
    }
    return false;
  }

  #store(version: Uint8Array, schema: TopicSchema): Promise<string> {
    const kept = keepSchema(this.#options.topic, version, schema);
    const id = `${kept.version} ${kept.sha256}`;
    const known = this.#kept.get(id);
    if (known !== undefined) return known;
    const name = this.#storeOnce(kept);
    this.#kept.set(id, name);
    // The caller gets the failure; the next call tries again.
    name.catch(() => this.#kept.delete(id));
    return name;
  }

  async #storeOnce(schema: KeptSchema): Promise<string> {
    const { store, prefix, topic, logger, pace } = this.#options;
    const { name, key, isNew, sizeBytes } = await storeSchema(store, prefix, topic, schema, {
      signal: pace.storing,
    });
    if (isNew) logger.info({ key, bytes: sizeBytes }, 'schema stored');
    return name;
  }
}
