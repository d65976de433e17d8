// What all connections of the broker share: its data, its settings, its faults.
import type { Tokens } from './access.ts';
import type { Faults } from './faults.ts';
import type { SubscriptionOptions } from './subscription.ts';
import type { Schemas } from './topic-schemas.ts';
import type { Topics } from './topics.ts';

/** Named in lookups while the broker plays a cluster behind a proxy; nobody can resolve it. */
export const PROXIED_BROKER = 'broker-1.loopback.invalid:6650';

/** What all sessions share. */
export interface BrokerContext {
  readonly topics: Topics;
  readonly schemas: Schemas;
  readonly faults: Faults;
  readonly tokens: Tokens;
  readonly subscriptionOptions: SubscriptionOptions;
  readonly autoCreatesTopics: boolean;
  readonly acknowledgesBatchIndexes: boolean;
  readonly addsBrokerEntryMetadata: boolean;
  readonly maxMessageSizeBytes: number;
  readonly livenessCheckMs: number;
  readonly isTls: boolean;
  serviceUrl(): string;
}
