// Failures that a test orders from the loopback API, and which call meets which.
import type { Call } from './action.ts';

/** A failure to come: the calls of `action` (`service:Action`, or `*`) after the first `after`, `times` of them. */
export interface Fault {
  readonly action: string;
  readonly code?: string;
  readonly message?: string;
  readonly times?: number;
  readonly after?: number;
  /** Counts the calls of each action by themselves, where `action` is `*`. */
  readonly each?: boolean;
  /** Cuts the connection instead of answering: before the action is done, or after. */
  readonly cut?: 'before' | 'after';
  /** Never answers: before the action is done, or after. */
  readonly hang?: 'before' | 'after';
  /** Answers with this HTTP status and a page, as a gateway does; the action is not done. */
  readonly httpStatus?: number;
}

export interface FaultList {
  add(fault: Fault): void;
  /** The fault that this call meets. */
  next(call: Call): Fault | undefined;
}

export function createFaultList(): FaultList {
  const entries: { fault: Fault; seen: Map<string, number> }[] = [];
  return {
    add: (fault) => {
      entries.push({ fault, seen: new Map() });
    },
    next: (call) => {
      const name = `${call.service}:${call.action}`;
      for (const { fault, seen } of entries) {
        const { action, after = 0, times = 1, each = false } = fault;
        if (action !== '*' && action !== name) continue;
        const counter = each ? name : action;
        const count = (seen.get(counter) ?? 0) + 1;
        seen.set(counter, count);
        if (count > after && count <= after + times) return fault;
      }
      return undefined;
    },
  };
}
