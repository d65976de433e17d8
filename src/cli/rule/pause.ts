// `tdmq-backup rule pause` and `rule resume`: the rule's timer off and on.
import { deploymentHint, findRule, isOfServerlessYml } from '../../rules/rule.ts';
import { switchTimers } from '../../rules/timer-steps.ts';
import type { Command, Terminal } from '../command.ts';
import { makeChanges } from './changes.ts';
import { COMMON_HELP, openAccount, parseOneName } from './context.ts';

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
  run: (args, terminal) => switchRule(args, terminal, false),
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
  run: (args, terminal) => switchRule(args, terminal, true),
};

async function switchRule(args: readonly string[], terminal: Terminal, isOn: boolean): Promise<number> {
  const { values, name } = parseOneName(args, {});
  const { cloud } = await openAccount(values, terminal);
  const rule = await findRule(cloud, name);
  const steps = switchTimers(cloud, rule, isOn);
  await makeChanges(steps, terminal);
  const state = isOn ? 'active' : 'paused';
  const hint =
    !isOn && isOfServerlessYml(rule)
      ? deploymentHint(rule, 'resumes it, unless serverless.yml has `enable: false` at its timers')
      : undefined;
  terminal.stdout.write(
    values.json
      ? `${JSON.stringify({ rule: rule.name, state, hint })}\n`
      : `The rule ${rule.name} is ${steps.length === 0 ? 'already' : 'now'} ${state}.\n`,
  );
  if (!values.json && hint !== undefined) terminal.stdout.write(`  → ${hint}\n`);
  return 0;
}
