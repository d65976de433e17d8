// A rule's timers: made, removed, renamed, set to another interval, switched on and off. SCF starts one instance for
// each that fires, so a rule has as many as instances.
import { BackupError } from '../errors.ts';
import { apiCode, ifThere } from './api-failure.ts';
import type { Cloud } from './cloud.ts';
import type { Rule, Timer } from './rule.ts';
import {
  cronEvery,
  instancesOf,
  intervalOf,
  isOurName,
  MAX_INSTANCES,
  tickingTimers,
  timerName,
} from './schedule.ts';
import type { Step } from './steps.ts';

/** The timers of a new rule. Undone with the function. */
export function createTimers(
  cloud: Cloud,
  functionName: string,
  interval: number,
  instances: number,
): Step[] {
  return Array.from({ length: instances }, (_, i) => {
    const { undo: _undo, ...step } = createTimer(cloud, functionName, {
      name: timerName(interval, i + 1),
      cron: cronEvery(interval),
      isOn: true,
      qualifier: '$DEFAULT',
    });
    return step;
  });
}

export interface TimerPlan {
  /** Before what lets fewer instances run. */
  readonly removals: readonly Step[];
  /** Other names and times. */
  readonly changes: readonly Step[];
  /** After what lets more instances run. */
  readonly additions: readonly Step[];
  /** Timers of the function that stay as somebody has set them. */
  readonly kept: readonly Timer[];
}

/** What becomes of a rule's timers when it is to have so many, every so many minutes. */
export function planTimers(cloud: Cloud, before: Rule, interval: number, instances: number): TimerPlan {
  const { functionName } = before;
  const ticking = [...tickingTimers(before)].sort(
    (a, b) => Number(isOurName(a.name)) - Number(isOurName(b.name)),
  );
  const others = before.timers.filter((one) => !ticking.includes(one));
  // Somebody's own times are left alone until they are asked to be others.
  const isAsked = ticking.length > 0 || interval !== intervalOf(before) || instances !== instancesOf(before);
  if (!isAsked) return { removals: [], changes: [], additions: [], kept: [] };
  const staying = ticking.slice(0, instances);
  const removals = ticking.slice(instances).reverse();
  const cron = cronEvery(interval);
  // A name that says another interval is one of before that changed.
  const isNamed = ({ name }: Timer) =>
    !isOurName(name) ||
    interval === intervalOf(before) ||
    new RegExp(`^every-${interval}-minutes`).test(name);
  const taken = new Set([...staying.filter(isNamed), ...others].map(({ name }) => name));
  const nextName = () => {
    for (let nth = 1; ; nth++) {
      const name = timerName(interval, nth);
      if (!taken.has(name)) {
        taken.add(name);
        return name;
      }
    }
  };
  const isFull = before.timers.length - removals.length >= MAX_INSTANCES;
  const changes = staying.flatMap((timer) => {
    if (isNamed(timer)) return timer.cron === cron ? [] : [changeTimer(cloud, before, timer, cron)];
    const made = createTimer(cloud, functionName, { ...timer, name: nextName(), cron });
    const removed = deleteTimer(cloud, functionName, timer);
    // The rule is not without a timer for a moment, unless SCF takes no more of them.
    return isFull ? [removed, made] : [made, removed];
  });
  const isOn = before.timers.length === 0 || before.timers.some((one) => one.isOn);
  const qualifier = ticking[0]?.qualifier ?? '$DEFAULT';
  const additions = Array.from({ length: Math.max(0, instances - staying.length) }, () =>
    createTimer(cloud, functionName, { name: nextName(), cron, isOn, qualifier }),
  );
  return {
    removals: removals.map((timer) => deleteTimer(cloud, functionName, timer)),
    changes,
    additions,
    kept: others,
  };
}

function createTimer(cloud: Cloud, functionName: string, timer: Timer): Step & Required<Pick<Step, 'undo'>> {
  const request = {
    FunctionName: functionName,
    TriggerName: timer.name,
    Type: 'timer',
    Qualifier: timer.qualifier,
    TriggerDesc: timer.cron,
    Enable: timer.isOn ? 'OPEN' : 'CLOSE',
    CustomArgument: timer.argument ?? 'tdmq-backup',
  };
  return {
    title: timer.isOn ? `start the timer ${timer.name}` : `make the timer ${timer.name}, switched off`,
    call: 'scf:CreateTrigger',
    request,
    run: (signal) => cloud.call('scf', 'CreateTrigger', request, { signal }),
    undo: {
      title: `remove the timer ${timer.name} again`,
      left: `the timer ${timer.name}`,
      byHand: 'delete it in the SCF console',
      run: (signal) => removeTimer(cloud, functionName, timer, signal),
    },
  };
}

function deleteTimer(cloud: Cloud, functionName: string, timer: Timer): Step {
  const back = createTimer(cloud, functionName, timer);
  return {
    title: `remove the timer ${timer.name}`,
    call: 'scf:DeleteTrigger',
    request: { FunctionName: functionName, TriggerName: timer.name },
    run: (signal) => ifThere(removeTimer(cloud, functionName, timer, signal)),
    undo: {
      title: `make the timer ${timer.name} again`,
      left: `no timer ${timer.name}`,
      byHand: `make a timer of that name in the SCF console, at ${timer.cron}`,
      run: (signal) => unlessThere(back.run(signal)),
    },
  };
}

const removeTimer = (cloud: Cloud, functionName: string, { name, qualifier }: Timer, signal: AbortSignal) =>
  cloud.call(
    'scf',
    'DeleteTrigger',
    { FunctionName: functionName, TriggerName: name, Type: 'timer', Qualifier: qualifier },
    { signal },
  );

/** What was not removed after all is there. */
async function unlessThere(creation: Promise<unknown>): Promise<void> {
  await creation.catch((error: unknown) => {
    if (!apiCode(error).startsWith('ResourceInUse.Trigger')) throw error;
  });
}

/** Gives a timer another interval. */
function changeTimer(cloud: Cloud, { functionName }: Rule, timer: Timer, cron: string): Step {
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
      hint: `tdmq-backup rule edit ${rule.name} --instances 1 makes one.`,
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
