// Asks brokers for the schemas of a topic, each version once. On a connection of its own: a broker that answers late or
// ends the connection for such a question delays no entry. It throws nothing; what cannot be had has a reason.
import { BackupError, messageOf } from '../../errors.ts';
import { untilAborted } from '../../lib/until-aborted.ts';
import type { Clock, SchemaAnswer } from '../../ports.ts';
import type { Cluster } from './cluster.ts';
import type { CommandFields } from './protocol/frame.ts';
import { isServerError, serverError } from './protocol/server-error.ts';
import { schemaOf } from './schema-fields.ts';
import { startTimer } from './timer.ts';

/** Brokers from this protocol version on (Pulsar 2.2) know GET_SCHEMA. */
const GET_SCHEMA_SINCE = 13;
/** For all of an answer: look-up, connection, request, and trying again. */
const ANSWER_TIMEOUT_MS = 5_000;
const ATTEMPTS = 2;
/** So many answers in a row that did not come: then the brokers are asked for nothing more. */
const MAX_SILENCES = 3;

/** One for all partitions of a topic. */
export class SchemaReader {
  readonly #cluster: Cluster;
  readonly #clock: Clock;
  readonly #answers = new Map<string, Promise<SchemaAnswer>>();
  #silences = 0;
  /** Why nothing more is asked. */
  #givenUp: SchemaAnswer | undefined;

  constructor(cluster: Cluster, clock: Clock) {
    this.#cluster = cluster;
    this.#clock = clock;
  }

  /** See SourcePartition. `topic`: a partition, or the topic where it has none. */
  read(topic: string, version: Uint8Array): Promise<SchemaAnswer> {
    const key = Buffer.from(version).toString('hex');
    const known = this.#answers.get(key);
    if (known !== undefined) return known;
    const answer = this.#givenUp === undefined ? this.#ask(topic, version) : Promise.resolve(this.#givenUp);
    this.#answers.set(key, answer);
    return answer;
  }

  /** The topic may be another one now, with other schemas under the same versions. */
  forget(): void {
    this.#answers.clear();
  }

  async #ask(topic: string, version: Uint8Array): Promise<SchemaAnswer> {
    const what = `reading a schema of ${topic}`;
    const tooLate = new AbortController();
    const cancelTimer = startTimer(this.#clock, ANSWER_TIMEOUT_MS, () => tooLate.abort());
    const late = () =>
      new BackupError('source', `${what}: no answer within ${ANSWER_TIMEOUT_MS} ms`, { retryable: true });
    try {
      const answer = await untilAborted(this.#tryTwice(topic, version, what), tooLate.signal, late);
      this.#silences = 0;
      return answer;
    } catch (error) {
      const answer = unknownFor(error);
      const isRefused = isServerError(error, 'AuthorizationError');
      if (isRefused || (isNoAnswer(error) && ++this.#silences >= MAX_SILENCES)) this.#givenUp = answer;
      return answer;
    } finally {
      cancelTimer();
    }
  }

  async #tryTwice(topic: string, version: Uint8Array, what: string): Promise<SchemaAnswer> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#request(topic, version, what);
      } catch (error) {
        const mayHelp = error instanceof BackupError && error.retryable;
        if (!mayHelp || attempt >= ATTEMPTS) throw error;
      }
    }
  }

  async #request(topic: string, version: Uint8Array, what: string): Promise<SchemaAnswer> {
    const connection = await this.#cluster.beside(await this.#cluster.locate(topic));
    const { protocolVersion } = connection.broker;
    if (protocolVersion < GET_SCHEMA_SINCE)
      return { kind: 'unknown', reason: `the broker is too old (protocol version ${protocolVersion})` };
    const command = await connection.request('getSchema', { topic, schemaVersion: version }, what);
    const answer = command.fields as CommandFields<'getSchemaResponse'>;
    if (answer.errorCode !== undefined) throw serverError(what, answer.errorCode, answer.errorMessage);
    if (answer.schema === undefined)
      return { kind: 'unknown', reason: 'the broker answered without a schema' };
    const other = answer.schemaVersion;
    if (other !== undefined && Buffer.compare(other, version) !== 0)
      return { kind: 'unknown', reason: 'the broker answered with a schema of another version' };
    return { kind: 'schema', schema: schemaOf(answer.schema) };
  }
}

const isNoAnswer = (error: unknown) =>
  error instanceof BackupError && error.retryable && error.details['serverError'] === undefined;

function unknownFor(error: unknown): SchemaAnswer {
  // Brokers have no code of its own for it.
  if (isServerError(error, 'TopicNotFound'))
    return { kind: 'unknown', reason: 'the broker has no such schema' };
  // Hints of what is tried again promise more than is done here.
  const hint = error instanceof BackupError && !error.retryable ? error.hint : undefined;
  return { kind: 'unknown', reason: messageOf(error), hint };
}
