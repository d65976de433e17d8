// All topics of the broker, by full name, and the namespaces that exist.
import { parseTopicName, partitionTopic } from '../../topic-name.ts';
import { Topic } from './topic.ts';

export interface TopicsOptions {
  /** `tenant/namespace` */
  readonly namespaces: readonly string[];
  readonly maxEntriesPerLedger: number;
}

/** The broker's topics. Names may be given short (`tenant/ns/topic`) or full. */
export class Topics {
  readonly #topics = new Map<string, Topic>();
  readonly #partitioned = new Map<string, number>();
  readonly #namespaces: Set<string>;
  readonly #maxEntriesPerLedger: number;
  #lastLedgerId = 0;

  constructor(options: TopicsOptions) {
    this.#namespaces = new Set(options.namespaces);
    this.#maxEntriesPerLedger = options.maxEntriesPerLedger;
  }

  /** The full name, or `undefined` where it is none. */
  fullName(name: string): string | undefined {
    return parseTopicName(name)?.full;
  }

  hasNamespaceOf(name: string): boolean {
    const topic = parseTopicName(name);
    return topic !== undefined && this.#namespaces.has(`${topic.tenant}/${topic.namespace}`);
  }

  /** Makes a topic with that many partitions; 0: one that is not partitioned. */
  create(name: string, partitions: number): void {
    const topic = this.#parse(name);
    if (partitions === 0) {
      this.getOrCreate(topic.full);
      return;
    }
    this.#partitioned.set(topic.full, partitions);
    for (let partition = 0; partition < partitions; partition++)
      this.getOrCreate(partitionTopic(topic, partition));
  }

  /** How many partitions a topic has; 0: not partitioned; `undefined`: there is no such topic. */
  partitionsOf(name: string): number | undefined {
    const { full } = this.#parse(name);
    return this.#partitioned.get(full) ?? (this.#topics.has(full) ? 0 : undefined);
  }

  find(name: string): Topic | undefined {
    return this.#topics.get(this.#parse(name).full);
  }

  getOrCreate(name: string): Topic {
    const { full } = this.#parse(name);
    let topic = this.#topics.get(full);
    if (topic === undefined) {
      topic = new Topic(full, () => ++this.#lastLedgerId, this.#maxEntriesPerLedger);
      this.#topics.set(full, topic);
    }
    return topic;
  }

  /** The topic, or all its partitions in order. @throws Error where there is none */
  all(name: string): Topic[] {
    const topic = this.#parse(name);
    const partitions = this.partitionsOf(name);
    if (partitions === undefined) throw new Error(`there is no topic ${topic.full}`);
    if (partitions === 0) return [this.getOrCreate(topic.full)];
    return Array.from({ length: partitions }, (_, index) => this.getOrCreate(partitionTopic(topic, index)));
  }

  /** Forgets a topic with its partitions, and takes its consumers away. */
  delete(name: string): void {
    const topics = this.all(name);
    this.#partitioned.delete(this.#parse(name).full);
    for (const topic of topics) {
      this.#topics.delete(topic.name);
      for (const subscription of topic.subscriptions.values()) subscription.closeConsumers();
      topic.subscriptions.clear();
    }
  }

  /** Full names of the topics in `tenant/namespace`, partitions one by one. */
  namesIn(namespace: string): string[] {
    return [...this.#topics.keys()].filter((name) => name.startsWith(`persistent://${namespace}/`));
  }

  /** Every topic and partition there is. */
  each(): Topic[] {
    return [...this.#topics.values()];
  }

  #parse(name: string) {
    const topic = parseTopicName(name);
    if (topic === undefined) throw new Error(`${name} is no topic name`);
    return topic;
  }
}
