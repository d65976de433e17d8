// When a rule runs, and with how many instances: the intervals whose ticks are constant, the timers that start the
// instances of a tick, and their names. SCF starts one instance for each timer that fires. Knows no API.
import type { Rule, Timer } from './rule.ts';

/** The whole minutes from 5 to 15 that divide the hour: after others, the hour's last gap is a shorter one. */
export const INTERVALS: readonly number[] = [5, 6, 10, 12, 15];
/** So many timers SCF takes for one function. */
export const MAX_INSTANCES = 10;
export const DEFAULT_INTERVAL = '5';

/** The timer of an interval: every so many minutes, at second 0. */
export const cronEvery = (minutes: string | number) => `0 */${minutes} * * * * *`;

/** Cron begins anew with each hour: an interval of 7 minutes fires at :56 and then at :00. */
export function shortestGapMinutes(interval: number): number {
  return 60 % interval || interval;
}

/** A run ends before the next one begins. */
export const defaultTimeoutSeconds = (interval: number) => shortestGapMinutes(interval) * 60 - 15;

/** Whether a rule's time-out is one that nobody chose; earlier versions took it from the interval alone. */
export function hasDefaultTimeout(rule: Rule): boolean {
  const interval = intervalOf(rule);
  return [defaultTimeoutSeconds(interval), interval * 60 - 15].includes(rule.timeoutSeconds);
}

export const intervalOf = ({ environment }: Pick<Rule, 'environment'>) =>
  Number(environment['RUN_INTERVAL_MINUTES'] || DEFAULT_INTERVAL);

/** `every-5-minutes`, `every-5-minutes-2`, … : the first is named as where there is one. */
export const timerName = (interval: number, nth: number) =>
  `every-${interval}-minutes${nth === 1 ? '' : `-${nth}`}`;

/** Whether the timer has a name that tdmq-backup gives. */
export const isOurName = (name: string) => /^every-\d+-minutes(-\d+)?$/.test(name);

/** The timers that start the instances of a tick; not those that somebody has set to other times. */
export function tickingTimers(rule: Pick<Rule, 'timers' | 'environment'>): readonly Timer[] {
  const cron = cronEvery(intervalOf(rule));
  return rule.timers.filter((one) => isOurName(one.name) || one.cron === cron);
}

/** How many instances a tick starts, paused or not; 0 where there is no timer. */
export function instancesOf(rule: Pick<Rule, 'timers' | 'environment'>): number {
  const ticking = tickingTimers(rule).length;
  if (ticking > 0) return ticking;
  const crons = rule.timers.map((one) => one.cron);
  return Math.max(0, ...crons.map((cron) => crons.filter((one) => one === cron).length));
}
