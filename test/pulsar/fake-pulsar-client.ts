// npm pulsar-client without its binding: a broker in memory behind the client's interface. It was compared with the
// bindings of 1.18.0 (libpulsar 4.2.0) and 1.14.0 (libpulsar 3.7.0): both passed the same suites, on real brokers.
import type { Clock } from '../../src/ports.ts';
import type {
  NativeClientConfig,
  NativeConsumerConfig,
  NativeEncryptionContext,
} from '../../src/pulsar/native/addon.ts';
import { FakeConsumer, FakeMessage } from './fake-consumer.ts';

export interface FakeMessageFields {
  readonly data?: Uint8Array | string;
  readonly key?: string;
  readonly orderingKey?: string;
  readonly properties?: Readonly<Record<string, string>>;
  readonly eventTime?: number;
  readonly publishTime?: number;
  readonly producer?: string;
  readonly replicatedFrom?: string;
  readonly encryption?: NativeEncryptionContext;
}

export interface FakeEntry {
  readonly ledgerId: number;
  readonly entryId: number;
  readonly messages: readonly FakeMessageFields[];
  /** Whether its messages have batch indexes. */
  readonly isBatch: boolean;
  /** Batch indexes that the broker does not deliver any more. */
  readonly leftOut?: readonly number[];
  /** libpulsar acknowledges it and says nothing. */
  readonly isCorrupt?: boolean;
  /** A chunk that is not the last of its message: libpulsar keeps it. */
  readonly isChunk?: boolean;
  /** The first entry of a chunked message that ends here. */
  readonly firstChunk?: number;
}

export interface Subscription {
  readonly acked: Set<FakeEntry>;
  consumers: FakeConsumer[];
}

interface FakeTopic {
  readonly entries: FakeEntry[];
  readonly subscriptions: Map<string, Subscription>;
}

/** What the test holds: topics, faults, and what the client was asked. */
export class FakePulsar {
  readonly clock: Clock;
  /** Plain topics and partitions, by full name. */
  readonly topics = new Map<string, FakeTopic>();
  readonly partitions = new Map<string, number>();
  readonly clientConfigs: NativeClientConfig[] = [];
  readonly consumerConfigs: NativeConsumerConfig[] = [];
  readonly consumers: FakeConsumer[] = [];
  openClients = 0;
  logHandlers = 0;
  /** Say something as libpulsar would. */
  log: (level: number, message: string) => void = () => undefined;
  /** Thrown, in this order, by the calls that are named. */
  readonly faults: { readonly at: 'lookup' | 'subscribe' | 'close'; readonly text: string }[] = [];
  /** Nobody answers. */
  isDown = false;
  /** No call to close ends. */
  closeHangs = false;
  token: string | undefined;
  /** 1.14: no producer name, no encryption context, and the wrapper's close gives nothing back. */
  isOld = false;

  constructor(clock: Clock) {
    this.clock = clock;
  }

  addTopic(full: string, partitions = 0): void {
    if (partitions > 0) this.partitions.set(full, partitions);
    for (const name of this.namesOf(full)) this.topics.set(name, { entries: [], subscriptions: new Map() });
  }

  namesOf(full: string): string[] {
    const count = this.partitions.get(full) ?? 0;
    return count === 0 ? [full] : Array.from({ length: count }, (_, n) => `${full}-partition-${n}`);
  }

  publish(name: string, ...entries: FakeEntry[]): void {
    const topic = this.topic(name);
    topic.entries.push(...entries);
    for (const { consumers } of topic.subscriptions.values()) {
      for (const entry of entries) consumers[0]?.deliver(entry);
    }
  }

  topic(name: string): FakeTopic {
    const topic = this.topics.get(name);
    if (topic === undefined) throw new Error(`no topic ${name}`);
    return topic;
  }

  /** Entries of the topic (all its partitions) that the subscription has not acknowledged. */
  backlog(full: string, subscription: string): number {
    return this.namesOf(full).reduce((sum, name) => {
      const { entries, subscriptions } = this.topic(name);
      return sum + entries.length - (subscriptions.get(subscription)?.acked.size ?? 0);
    }, 0);
  }

  /** Consumers lose their connection and have it again a little later; all that is not acknowledged comes again. */
  unload(full: string): void {
    for (const consumer of this.consumers) {
      if (!consumer.isOpen || !this.namesOf(full).includes(consumer.config.topic)) continue;
      consumer.connected = false;
      void this.clock.sleep(700).then(() => consumer.reconnect());
    }
  }

  fault(at: 'lookup' | 'subscribe' | 'close'): void {
    const index = this.faults.findIndex((one) => one.at === at);
    if (index >= 0) throw new Error(this.faults.splice(index, 1)[0]?.text);
  }

  /** What `import('pulsar-client')` would give. */
  module(): object {
    const pulsar = this;
    class Client {
      readonly client = { close: async () => pulsar.closeClient() };
      readonly auth: { token: string } | undefined;
      constructor(config: NativeClientConfig) {
        pulsar.clientConfigs.push(config);
        pulsar.openClients++;
        this.auth = config.authentication as { token: string } | undefined;
      }
      static setLogHandler(handler: (level: number, file: string, line: number, message: string) => void) {
        pulsar.logHandlers++;
        pulsar.log = (level, message) => handler(level, 'ConsumerImpl.cc', 1, message);
      }
      async getPartitionsForTopic(topic: string) {
        pulsar.fault('lookup');
        const failed = (result: string) => new Error(`Failed to GetPartitionsForTopic: ${result}`);
        const { serviceUrl } = pulsar.lastConfig;
        if (pulsar.isDown || serviceUrl.endsWith(':1')) {
          await pulsar.operationTimeout();
          throw failed('TimeOut');
        }
        const isRefused = pulsar.token !== undefined && this.auth?.token !== pulsar.token;
        const isUnknown = !pulsar.topics.has(pulsar.namesOf(topic)[0] ?? '');
        if (serviceUrl.startsWith('http') && (isRefused || isUnknown)) {
          const status = isRefused ? 401 : 404;
          pulsar.log(3, `Response failed, curl error: The requested URL returned error: ${status}`);
          throw failed('ConnectError');
        }
        if (isRefused) {
          // The broker closes the connection; the older version gives up then.
          if (pulsar.isOld) throw failed('ConnectError');
          await pulsar.operationTimeout();
          throw failed('TimeOut');
        }
        if (isUnknown) throw failed('TopicNotFound');
        return pulsar.namesOf(topic);
      }
      async subscribe(config: NativeConsumerConfig) {
        pulsar.fault('subscribe');
        if (pulsar.isDown) {
          await pulsar.operationTimeout();
          throw new Error('Failed to create consumer: TimeOut');
        }
        const consumer = new FakeConsumer(pulsar, config);
        consumer.attach();
        pulsar.consumerConfigs.push(config);
        pulsar.consumers.push(consumer);
        return consumer;
      }
      close() {
        const closed = this.client.close();
        return pulsar.isOld ? undefined : closed;
      }
    }
    class AuthenticationToken {
      readonly token: string;
      constructor(params: { token: string }) {
        this.token = params.token;
      }
    }
    class AuthenticationTls {
      readonly certificate: object;
      constructor(params: { certificatePath: string; privateKeyPath: string }) {
        this.certificate = params;
      }
    }
    const Message = this.isOld ? class {} : FakeMessage;
    return { Client, AuthenticationToken, AuthenticationTls, Message };
  }

  operationTimeout(): Promise<void> {
    return this.clock.sleep(this.lastConfig.operationTimeoutSeconds * 1000);
  }

  get lastConfig(): NativeClientConfig {
    return this.clientConfigs.at(-1) as NativeClientConfig;
  }

  async closeClient(): Promise<null> {
    if (this.closeHangs) await new Promise(() => undefined);
    await this.clock.sleep(1);
    this.openClients--;
    // With the client ends the thread that would have settled what its consumers left.
    for (const consumer of this.consumers) consumer.settles = false;
    return null;
  }
}
