// Moments at which a process under test is killed: what COS or the broker sees of it says when.
import { setTimeout as sleep } from 'node:timers/promises';
import { vi } from 'vitest';
import type { CallKind } from '../../src/local/cos/call.ts';
import type { LoopbackCos } from '../../src/local/cos/server.ts';
import type { LoopbackBroker } from '../stand-ins/broker/broker.ts';

interface Surroundings {
  readonly broker: LoopbackBroker;
  readonly cos: LoopbackCos;
}

/** Puts the killer in its place; `kill` ends the function's process this moment. Answers how to take it away. */
export type KillPoint = (stack: Surroundings, kill: () => void) => () => void;

/** A call of COS arrives and takes no effect. */
export const atCall =
  (kind: CallKind, key: string, nth = 1): KillPoint =>
  (stack, kill) => {
    let seen = 0;
    stack.cos.setOnRequest((of, at) => {
      if (of !== kind || !at.includes(key) || ++seen < nth) return;
      kill();
      return new Promise(() => undefined);
    });
    return () => stack.cos.setOnRequest(undefined);
  };

/** A call of COS has taken effect, and its answer does not come. */
export const afterCommitOf =
  (kind: CallKind, key: string, nth = 1): KillPoint =>
  (stack, kill) => {
    stack.cos.addFault({ kind, key, nth, action: { type: 'hang', when: 'after-commit' } });
    const isDone = () => stack.cos.requests().some(({ status }) => status === 'hung');
    void vi.waitUntil(isDone, { interval: 5, timeout: 20_000 }).then(kill, kill);
    return () => stack.cos.clearFaults();
  };

/** A command to the broker is about to be acted upon, and is not. */
export const atCommand =
  (command: string, nth = 1): KillPoint =>
  (stack, kill) => {
    let seen = 0;
    return stack.broker.onCommand((name) => {
      if (name !== command || ++seen < nth) return undefined;
      kill();
      return 'drop';
    });
  };

/** The broker has acted, and is about to say so. */
export const atAnswer =
  (command: string, nth = 1): KillPoint =>
  (stack, kill) => {
    let seen = 0;
    return stack.broker.onAnswer((name) => {
      if (name !== command || ++seen < nth) return undefined;
      kill();
      return 'drop';
    });
  };

/** Numbers from 0 to 1 that a seed repeats (mulberry32). */
export function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** Kills at the n-th thing that COS or the broker sees. */
export const atEvent =
  (n: number, delayMs: number): KillPoint =>
  (of, kill) => {
    let seen = 0;
    const see = () => {
      if (++seen === n) void sleep(delayMs).then(kill);
      return undefined;
    };
    of.cos.setOnRequest(see);
    const hooks = [of.broker.onCommand(see), of.broker.onAnswer(see)];
    return () => {
      of.cos.setOnRequest(undefined);
      for (const takeAway of hooks) takeAway();
    };
  };
