// The part of `check` that asks nobody: how the rule's settings and the function's limits fit each other.
import type { RuleConfig } from '../../config.ts';
import { largestMessageBytes } from '../../largest-message.ts';
import type { Environment } from '../../read-settings.ts';
import { type CheckResult, fail, ok, warn } from '../../rules/check-result.ts';
import { INTERVALS, shortestGapMinutes } from '../../rules/schedule.ts';

const MAX_TIMEOUT_SECONDS = 900;
const MIB = 1_048_576;

/** Interval, time-out, memory and what cannot work on SCF. `DEPLOY_*` are those of .env.<stage>, where they are set. */
export function checkLimits({ run, cos }: RuleConfig, env: Environment): CheckResult[] {
  const findings: CheckResult[] = [];
  const timeoutSeconds = numberOf(env['DEPLOY_TIMEOUT_SECONDS']);
  const { intervalMinutes } = run;
  if (!INTERVALS.includes(intervalMinutes)) findings.push(interval(intervalMinutes));
  if (timeoutSeconds !== undefined)
    findings.push(timeLimit(timeoutSeconds, shortestGapMinutes(intervalMinutes) * 60, run.reserveSeconds));
  const memoryMb = numberOf(env['DEPLOY_MEMORY_MB']);
  if (memoryMb !== undefined) findings.push(memory(memoryMb));
  if (cos.endpoint !== undefined) {
    findings.push(
      warn(
        'endpoint',
        `COS_ENDPOINT is set: objects go to ${cos.endpoint}, not to COS`,
        'Leave COS_ENDPOINT out, unless that is a gateway of your own.',
      ),
    );
  }
  return findings;
}

const numberOf = (text: string | undefined) => (text ? Number(text) : undefined);

function interval(minutes: number): CheckResult {
  return warn(
    'interval',
    `RUN_INTERVAL_MINUTES is ${minutes}: cron starts again with each hour, so the hour's last gap is ${shortestGapMinutes(minutes)} minutes`,
    `Choose one of ${INTERVALS.join(', ')}.`,
  );
}

function timeLimit(timeoutSeconds: number, intervalSeconds: number, reserveSeconds: number): CheckResult {
  const item = 'time limit';
  if (!(Number.isInteger(timeoutSeconds) && timeoutSeconds >= 1 && timeoutSeconds <= MAX_TIMEOUT_SECONDS)) {
    return fail(
      item,
      `DEPLOY_TIMEOUT_SECONDS is ${timeoutSeconds}`,
      `SCF takes whole seconds from 1 to ${MAX_TIMEOUT_SECONDS}.`,
    );
  }
  if (reserveSeconds > timeoutSeconds / 2) {
    return fail(
      item,
      `RUN_RESERVE_SECONDS ${reserveSeconds} keeps more than half of the ${timeoutSeconds} s that a run has`,
      'Raise DEPLOY_TIMEOUT_SECONDS, or lower RUN_RESERVE_SECONDS.',
    );
  }
  if (timeoutSeconds >= intervalSeconds) {
    return warn(
      item,
      `a run may take ${timeoutSeconds} s and the next begins after ${intervalSeconds} s: runs overlap, and the later one ends as busy`,
      `Set DEPLOY_TIMEOUT_SECONDS below ${intervalSeconds}, unless runs really need longer.`,
    );
  }
  return ok(item, `${timeoutSeconds} s, a run every ${intervalSeconds} s`);
}

function memory(memoryMb: number): CheckResult {
  const item = 'memory';
  if (!(memoryMb % 128 === 0 && memoryMb >= 128 && memoryMb <= 3_072)) {
    return fail(item, `DEPLOY_MEMORY_MB is ${memoryMb}`, 'SCF takes 128 to 3072, in steps of 128.');
  }
  const largest = `messages of more than ${largestMessageBytes(memoryMb) / MIB} MiB (in chunks or compressed) are kept raw`;
  if (memoryMb < 256) {
    return warn(
      item,
      `${memoryMb} MB leaves little beside Node itself, and little CPU: runs are slow; ${largest}`,
      'Set DEPLOY_MEMORY_MB to 256 or more; 512 is a good start.',
    );
  }
  return ok(item, `${memoryMb} MB; ${largest}`);
}
