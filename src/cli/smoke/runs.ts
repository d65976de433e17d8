// Runs of the deployed function, one after the other, until one has caught up: a tick of the timer may be under way, and a
// long backlog takes more than one run.
import { BackupError } from '../../errors.ts';
import type { Summary } from '../../format/run-manifest.ts';
import type { Cloud } from '../../rules/cloud.ts';
import { invokeRule, isBusy } from '../../rules/invocation.ts';
import type { Rule } from '../../rules/rule.ts';

/** So many runs that end at their time limit; a longer backlog is not worth waiting for. */
const MAX_RUNS = 3;
const BUSY_PAUSE_MS = 5_000;

/** Invokes the function until a run has caught up, and returns its summary and those before it. @throws BackupError `rule` */
export async function runUntilCaughtUp(
  cloud: Cloud,
  rule: Rule,
  signal: AbortSignal,
  onRun: (requestId: string) => void,
): Promise<Summary[]> {
  const { clock } = cloud;
  const logs = (requestId: string) => `tdmq-backup rule logs ${rule.name} --request ${requestId}`;
  // A tick that is under way has ended by then.
  const busyUntilMs = clock.now() + (rule.timeoutSeconds + 60) * 1_000;
  const summaries: Summary[] = [];
  for (;;) {
    signal.throwIfAborted();
    let requestId: string | undefined;
    const begun = (id: string) => {
      if (id !== requestId) onRun(id);
      requestId = id;
    };
    const run = await invokeRule(cloud, rule, signal, begun).catch((error: unknown) => {
      if (!isBusy(error) || clock.now() > busyUntilMs) throw error;
      return undefined;
    });
    if (run === undefined) {
      await clock.sleep(BUSY_PAUSE_MS, signal);
      continue;
    }
    begun(run.requestId);
    if (run.result === 'failed')
      throw new BackupError('rule', `the run failed: ${run.error}`, { hint: logs(run.requestId) });
    const summary = run.summary as Partial<Summary>;
    if (!isSummary(summary)) {
      throw new BackupError('rule', 'the function returned no summary of a run', {
        hint: `Is it the code of this package? tdmq-backup rule edit ${rule.name} --update-code uploads it.`,
      });
    }
    if (summary.stopReason === 'busy') {
      if (clock.now() > busyUntilMs) {
        throw new BackupError('rule', 'somebody else consumes the subscription all the time', {
          hint: 'A rule needs a subscription of its own: `tdmq-backup check` names who is connected.',
        });
      }
      await clock.sleep(BUSY_PAUSE_MS, signal);
      continue;
    }
    summaries.push(summary);
    if (summary.stopReason === 'caught_up') return summaries;
    if (summaries.length >= MAX_RUNS) {
      throw new BackupError('rule', `the backlog is longer than ${MAX_RUNS} runs`, {
        hint: 'The runs work. Let the timer, or `tdmq-backup run --env-file FILE`, catch up; then call this again.',
      });
    }
  }
}

const isSummary = (one: Partial<Summary>): one is Summary =>
  typeof one.stopReason === 'string' && typeof one.messages === 'number' && typeof one.startedAt === 'string';
