// `tdmq-backup rule pause` and `rule resume`: the rule's timer off and on.
import { setTimers } from '../rules/operate-rule.ts';
import { findRule } from '../rules/rule.ts';
import type { Command, Io } from './command.ts';
import { COMMON_HELP, openAccount, parseOneName } from './rule-context.ts';

export const pauseCommand: Command = {
  summary: 'stop its timer',
  help: `
Usage: tdmq-backup rule pause NAME

Switches the timer off. A run that is under way ends by itself. Messages wait in the subscription, as long as the
namespace keeps them.
${COMMON_HELP}

Example:
  tdmq-backup rule pause orders-backup
`,
  run: (args, io) => switchTimers(args, io, false),
};

export const resumeCommand: Command = {
  summary: 'start its timer again',
  help: `
Usage: tdmq-backup rule resume NAME

Switches the timer on; the next tick drains what has gathered.
${COMMON_HELP}

Example:
  tdmq-backup rule resume orders-backup
`,
  run: (args, io) => switchTimers(args, io, true),
};

async function switchTimers(args: readonly string[], io: Io, isOn: boolean): Promise<number> {
  const { values, name } = parseOneName(args, {});
  const { cloud } = await openAccount(values, io);
  const rule = await findRule(cloud, name);
  const wasSo = rule.timers.every((timer) => timer.isOn === isOn);
  await setTimers(cloud, rule, isOn);
  const state = isOn ? 'active' : 'paused';
  io.stdout.write(
    values.json
      ? `${JSON.stringify({ rule: rule.name, state })}\n`
      : `The rule ${rule.name} is ${wasSo ? 'already' : 'now'} ${state}.\n`,
  );
  return 0;
}
