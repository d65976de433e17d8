// What Pulsar's admin API reports about a subscription, where the service URL is http(s) and the role may ask: clusters
// differ, so every answer is optional. Reads only.

import type { PulsarConfig } from '../../config.ts';
import { systemClock } from '../../lib/clock.ts';
import type { TlsFiles } from '../../pulsar/tls-files.ts';
import { httpGet } from '../../pulsar/wire/http-lookup.ts';
import { DEFAULT_TIMINGS } from '../../pulsar/wire/timer.ts';
import type { Keeping } from '../../rules/time-to-live.ts';

const TIMINGS = { ...DEFAULT_TIMINGS, connectTimeoutMs: 5_000 };

export interface AdminView {
  /** Of the namespace. */
  readonly keeping: Keeping;
  readonly subscription?:
    | 'missing'
    | {
        readonly type: string | undefined;
        readonly backlog: number | undefined;
        readonly consumers: readonly string[];
      };
}

interface Stats {
  readonly subscriptions?: Readonly<
    Record<
      string,
      {
        readonly type?: string;
        readonly msgBacklog?: number;
        readonly consumers?: readonly { readonly consumerName?: string; readonly address?: string }[];
      }
    >
  >;
}

/** Asks how long the namespace keeps messages, and for the topic's subscriptions. Never throws: what is not answered is left out. */
export async function askAdmin(
  { serviceUrl, topic, subscription, token, runsFrom }: PulsarConfig,
  tls: TlsFiles,
  signal: AbortSignal,
): Promise<AdminView> {
  const [base] = serviceUrl.split(',');
  if (!base?.startsWith('http')) return { keeping: {} };
  const options = { clock: systemClock, timings: TIMINGS, token, tls, runsFrom };
  const get = async <T>(path: string): Promise<T | undefined> => {
    try {
      const url = new URL(`${base}/admin/v2/${path}`);
      const { status, text } = await httpGet(url, 'asking the admin API', options, signal);
      return status === 200 ? (JSON.parse(text) as T) : undefined;
    } catch {
      return undefined;
    }
  };
  const path = `persistent/${topic.tenant}/${topic.namespace}/${encodeURIComponent(topic.topic)}`;
  const namespace = `namespaces/${topic.tenant}/${topic.namespace}`;
  const [keeping, stats] = await Promise.all([
    askKeeping((policy) => get(`${namespace}/${policy}`)),
    get<Stats>(`${path}/partitioned-stats`).then((found) => found ?? get<Stats>(`${path}/stats`)),
  ]);
  const subscriptions = stats?.subscriptions;
  const isKnown = subscriptions !== undefined && Object.hasOwn(subscriptions, subscription);
  const found = isKnown ? subscriptions[subscription] : undefined;
  return {
    keeping,
    ...(subscriptions !== undefined && {
      subscription:
        found === undefined
          ? ('missing' as const)
          : {
              type: found.type,
              backlog: found.msgBacklog,
              consumers: (found.consumers ?? []).map(
                ({ consumerName, address }) => consumerName || address || 'one without a name',
              ),
            },
    }),
  };
}

interface Retention {
  readonly retentionTimeInMinutes?: number;
}

interface Quotas {
  readonly message_age?: { readonly limitTime?: number; readonly policy?: string };
}

/** Of the policies of a namespace those that end how long something is kept. */
async function askKeeping(get: <T>(policy: string) => Promise<T | undefined>): Promise<Keeping> {
  const [ttl, retention, expiry, quotas] = await Promise.all([
    get<number | null>('messageTTL'),
    get<Retention | null>('retention'),
    get<number | null>('subscriptionExpirationTime'),
    get<Quotas | null>('backlogQuotaMap'),
  ]);
  const seconds = (count: unknown, each = 1) => (typeof count === 'number' ? count * each : undefined);
  return {
    ttlSeconds: seconds(ttl),
    retentionSeconds: seconds(retention?.retentionTimeInMinutes, 60),
    expirySeconds: seconds(expiry, 60),
    backlogAgeSeconds: seconds(quotas?.message_age?.limitTime),
    backlogPolicy: quotas?.message_age?.policy,
  };
}
