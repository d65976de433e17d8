// Faults on order: which calls fail, how often, and how. A plan is data, so that it also comes over the control port.
import type { CallKind } from './call.ts';
import type { CosErrorCode } from './cos-error.ts';

/** Whether the call has taken effect when the fault strikes. After: the answer is lost, the work is done. */
export type FaultMoment = 'before-commit' | 'after-commit';

export type FaultAction =
  /** An HTTP status, by default before commit; the body is COS's error XML, or nothing, or a proxy's page. */
  | {
      readonly type: 'status';
      readonly status: number;
      readonly code?: string;
      readonly body?: 'xml' | 'empty' | 'html';
      readonly when?: FaultMoment;
    }
  /** One of COS's own refusals, with its status. */
  | { readonly type: 'error'; readonly code: CosErrorCode; readonly message?: string }
  /** The connection is reset; `mid-body`: when half of the request's (get: the answer's) body has passed. */
  | { readonly type: 'reset'; readonly when: FaultMoment | 'mid-body' }
  /** No answer ever; the connection stays open. */
  | { readonly type: 'hang'; readonly when: FaultMoment }
  /** Status 200 and an `<Error>` in the body; nothing took effect. */
  | { readonly type: 'error-in-200'; readonly code?: CosErrorCode }
  /** The call succeeds; its answer lacks the ETag, or has a wrong x-cos-hash-crc64ecma, or none. */
  | { readonly type: 'no-etag' }
  | { readonly type: 'wrong-crc' }
  | { readonly type: 'no-crc' }
  /** Status 200 and an empty body where XML belongs; the call took effect. */
  | { readonly type: 'empty-body' }
  /** The body of the answer comes at this rate. */
  | { readonly type: 'slow'; readonly bytesPerSecond: number }
  /** 200 at once, then spaces, then the XML: as COS answers a Complete that takes long. It may be an error after all. */
  | { readonly type: 'spaces-first'; readonly ending?: 'result' | 'error' };

/** Every type that an action can have. */
export const FAULT_TYPES: readonly FaultAction['type'][] = [
  ...([
    'status',
    'error',
    'reset',
    'hang',
    'error-in-200',
    'no-etag',
    'wrong-crc',
    'no-crc',
    'empty-body',
  ] as const),
  ...(['slow', 'spaces-first'] as const),
];

/** Which calls, and what happens to them. Of several faults that match, the first ordered strikes. */
export interface Fault {
  /** Any, where it is not given. */
  readonly kind?: CallKind | readonly CallKind[];
  /** A regular expression that is looked for in the key. */
  readonly key?: string;
  /** The first matching call that is struck, counted from 1 since the fault was ordered. Default 1. */
  readonly nth?: number;
  /** How many matching calls are struck from there on. Default 1. */
  readonly times?: number | 'always';
  readonly action: FaultAction;
}

/** The faults that are on order. */
export interface FaultPlan {
  add(fault: Fault): void;
  clear(): void;
  /** Counts the call, and returns what is to happen to it. */
  take(kind: CallKind, key: string): FaultAction | undefined;
  /** Faults that have strikes left. */
  pending(): readonly Fault[];
}

/** An empty plan. */
export function createFaultPlan(): FaultPlan {
  let orders: { fault: Fault; pattern: RegExp | undefined; seen: number; left: number }[] = [];
  return {
    add(fault) {
      const pattern = fault.key === undefined ? undefined : new RegExp(fault.key);
      const left = fault.times === 'always' ? Number.POSITIVE_INFINITY : (fault.times ?? 1);
      orders.push({ fault, pattern, seen: 0, left });
    },
    clear() {
      orders = [];
    },
    take(kind, key) {
      let action: FaultAction | undefined;
      for (const order of orders) {
        const { fault, pattern } = order;
        if (fault.kind !== undefined && ![fault.kind].flat().includes(kind)) continue;
        if (pattern !== undefined && !pattern.test(key)) continue;
        order.seen++;
        if (action !== undefined || order.seen < (fault.nth ?? 1)) continue;
        order.left--;
        action = fault.action;
      }
      orders = orders.filter((order) => order.left > 0);
      return action;
    },
    pending: () => orders.map((order) => order.fault),
  };
}
