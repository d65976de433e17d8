// What Pulsar's admin API reports about a subscription, where the service URL is http(s) and the role may ask: clusters
// differ, so every answer is optional. Reads only.

import type { PulsarConfig } from '../../config.ts';
import { systemClock } from '../../lib/clock.ts';
import type { TlsFiles } from '../../pulsar/tls-files.ts';
import { httpGet } from '../../pulsar/wire/http-lookup.ts';
import { DEFAULT_TIMINGS } from '../../pulsar/wire/timer.ts';

const TIMINGS = { ...DEFAULT_TIMINGS, connectTimeoutMs: 5_000 };

export interface AdminView {
  /** Of the namespace; 0 is for ever. */
  readonly ttlSeconds?: number;
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

/** Asks for the namespace's time to live and the topic's subscriptions. Never throws: what is not answered is left out. */
export async function askAdmin(
  { serviceUrl, topic, subscription, token, runsFrom }: PulsarConfig,
  tls: TlsFiles,
  signal: AbortSignal,
): Promise<AdminView> {
  const [base] = serviceUrl.split(',');
  if (!base?.startsWith('http')) return {};
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
  const [ttlSeconds, stats] = await Promise.all([
    get<number | null>(`namespaces/${topic.tenant}/${topic.namespace}/messageTTL`),
    get<Stats>(`${path}/partitioned-stats`).then((found) => found ?? get<Stats>(`${path}/stats`)),
  ]);
  const subscriptions = stats?.subscriptions;
  const isKnown = subscriptions !== undefined && Object.hasOwn(subscriptions, subscription);
  const found = isKnown ? subscriptions[subscription] : undefined;
  return {
    ...(typeof ttlSeconds === 'number' && { ttlSeconds }),
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
