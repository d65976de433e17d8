// Silence from each event of a run on: whenever it begins, the handler ends before the function's limit, and the next
// run goes on from what was stored.
// @module-tag faults
import { describe, expect, it } from 'vitest';
import { type RunStage, withStage } from '../stage/loopback-stage.ts';
import { expectEndInTimeAndRecovery } from './end-in-time.ts';

/** Runs at a time; they only wait. */
const SIDE_BY_SIDE = 12;

/** Counts what COS and the broker see and say, and silences some of it. */
function listen(
  stage: RunStage,
  silence: (nth: number, isAnswer: boolean) => boolean,
): { count(): number; stop(): void } {
  let count = 0;
  const pass = (isAnswer: boolean) => (silence(++count, isAnswer) ? 'drop' : undefined);
  const stops = [stage.broker.onCommand(() => pass(false)), stage.broker.onAnswer(() => pass(true))];
  let letGo = () => {};
  const going = new Promise<void>((resolve) => {
    letGo = resolve;
  });
  stage.cos.setOnRequest(() => (pass(false) === 'drop' ? going : undefined));
  return {
    count: () => count,
    stop() {
      for (const stop of stops) stop();
      stage.cos.setOnRequest(undefined);
      letGo();
    },
  };
}

describe('the handler ends in time, whenever it is', () => {
  it.each([
    // The waits of the deployed function are longer than this run: only its end can end them.
    ['that nobody answers any more', true, (at: number) => (nth: number) => nth >= at],
    [
      'that a single request is not answered',
      false,
      (at: number) => (nth: number, isAnswer: boolean) => nth === at && !isAnswer,
    ],
  ] as const)(
    '%s',
    async (_when, isPatient, silenceAt) => {
      let events = 0;
      const publish = (stage: RunStage) => stage.publish(160);
      await withStage(async (stage) => {
        publish(stage);
        const listener = listen(stage, () => false);
        await stage.run({ env: { FILE_MAX_MESSAGES: '60' } });
        events = listener.count();
        listener.stop();
      });
      expect(events).toBeGreaterThan(40);
      let at = 0;
      const workers = Array.from({ length: SIDE_BY_SIDE }, async () => {
        while (at < events) {
          const n = ++at;
          await withStage(async (stage) => {
            publish(stage);
            const listener = listen(stage, silenceAt(n));
            await expectEndInTimeAndRecovery({ stage, isPatient, makeWell: listener.stop });
          }).catch((error: unknown) => {
            throw new Error(`at event ${n} of ${events}`, { cause: error });
          });
        }
      });
      await Promise.all(workers);
    },
    600_000,
  );
});
