// A rule's timer: made, set to another interval, switched on and off.
import { BackupError } from '../errors.ts';
import type { Cloud } from './cloud.ts';
import type { Rule, Timer } from './rule.ts';
import type { Step } from './steps.ts';

/** The timer of an interval: every so many minutes, at second 0. */
export const cronEvery = (minutes: string | number) => `0 */${minutes} * * * * *`;

/** Undone with the function. */
export function createTimer(cloud: Cloud, functionName: string, intervalMinutes: number): Step {
  const request = {
    FunctionName: functionName,
    TriggerName: `every-${intervalMinutes}-minutes`,
    Type: 'timer',
    Qualifier: '$DEFAULT',
    TriggerDesc: cronEvery(intervalMinutes),
    Enable: 'OPEN',
    CustomArgument: 'tdmq-backup',
  };
  return {
    title: `start the timer, every ${intervalMinutes} minutes`,
    call: 'scf:CreateTrigger',
    request,
    run: (signal) => cloud.call('scf', 'CreateTrigger', request, { signal }),
  };
}

/** Gives a timer another interval. */
export function changeTimer(cloud: Cloud, { functionName }: Rule, timer: Timer, cron: string): Step {
  const request = { FunctionName: functionName, TriggerName: timer.name, TriggerDesc: cron };
  const update = (text: string, signal: AbortSignal) =>
    cloud.call(
      'scf',
      'UpdateTrigger',
      {
        ...request,
        TriggerDesc: text,
        Type: 'timer',
        Qualifier: timer.qualifier,
        Enable: timer.isOn ? 'OPEN' : 'CLOSE',
      },
      { signal },
    );
  return {
    title: `set the timer ${timer.name} to ${cron}`,
    call: 'scf:UpdateTrigger',
    request,
    run: (signal) => update(cron, signal),
    undo: {
      title: `set the timer ${timer.name} back`,
      left: `the timer ${timer.name} at ${cron}`,
      byHand: `set it to ${timer.cron} in the SCF console`,
      run: (signal) => update(timer.cron, signal),
    },
  };
}

/** Switches every timer of the rule that is not so already on or off. @throws BackupError `rule` where it has none */
export function switchTimers(cloud: Cloud, rule: Rule, isOn: boolean): Step[] {
  const { functionName } = rule;
  if (rule.timers.length === 0) {
    throw new BackupError('rule', `the function ${functionName} has no timer`, {
      hint: 'Make one in the SCF console, or deploy serverless.yml again.',
    });
  }
  return rule.timers
    .filter((timer) => timer.isOn !== isOn)
    .map((timer): Step => {
      const word = (on: boolean) => (on ? 'on' : 'off');
      const request = (on: boolean) => ({
        FunctionName: functionName,
        TriggerName: timer.name,
        Type: 'timer',
        Qualifier: timer.qualifier,
        Enable: on ? 'OPEN' : 'CLOSE',
      });
      const put = (on: boolean, signal: AbortSignal) =>
        cloud.call('scf', 'UpdateTriggerStatus', request(on), { signal });
      return {
        title: `switch the timer ${timer.name} ${word(isOn)}`,
        call: 'scf:UpdateTriggerStatus',
        request: request(isOn),
        run: (signal) => put(isOn, signal),
        undo: {
          title: `switch the timer ${timer.name} ${word(!isOn)} again`,
          left: `the timer ${timer.name}, ${word(isOn)}`,
          byHand: `tdmq-backup rule ${isOn ? 'pause' : 'resume'} ${rule.name} --region ${rule.region}`,
          run: (signal) => put(!isOn, signal),
        },
      };
    });
}
