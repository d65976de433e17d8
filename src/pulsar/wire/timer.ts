// Timers on the system's clock, so that tests own time here too.
import { MAX_OUTAGE_MS } from '../../lib/outage.ts';
import type { Clock } from '../../ports.ts';

/** How long each step may take, in milliseconds. */
export interface Timings {
  readonly connectTimeoutMs: number;
  /** For the answer to a request, acknowledgements included. */
  readonly operationTimeoutMs: number;
  /** How long `open` may get no partition further. */
  readonly openTimeoutMs: number;
  /** For the orderly end of all consumers. */
  readonly closeTimeoutMs: number;
  /** A PING is sent this often; a connection silent for two of them is dead. */
  readonly pingIntervalMs: number;
  /**
   * Failover: so long after it has subscribed, no consumer asks for an entry. Each instance that comes makes the broker
   * share the partitions out anew; one that moves when its entries are taken costs a file that is read twice.
   */
  readonly settleMs: number;
  /** Failover: how long the broker may take to say who is active. */
  readonly activationTimeoutMs: number;
  /** Failover: a consumer that is not the active one waits so long for a change, and is on standby then. */
  readonly standbyAfterMs: number;
  /** How long to try for another consumer after a loss. */
  readonly reconnectTimeoutMs: number;
}

/** What the function runs with; tests have shorter ones. */
export const DEFAULT_TIMINGS: Timings = {
  connectTimeoutMs: 6_000,
  operationTimeoutMs: 15_000,
  openTimeoutMs: 19_000,
  closeTimeoutMs: 3_000,
  pingIntervalMs: 30_000,
  settleMs: 2_000,
  activationTimeoutMs: 5_000,
  standbyAfterMs: 2_000,
  reconnectTimeoutMs: MAX_OUTAGE_MS,
};

/** Calls `action` after `ms`, unless the returned function is called before. */
export function startTimer(clock: Clock, ms: number, action: () => void): () => void {
  const cancelled = new AbortController();
  clock.sleep(ms, cancelled.signal).then(
    () => {
      if (!cancelled.signal.aborted) action();
    },
    () => undefined,
  );
  return () => cancelled.abort();
}
