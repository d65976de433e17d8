// `tdmq-backup rule delete`: deletes the function with its timer, and says what remains.
import { planDelete, whatRemains } from '../rules/operate-rule.ts';
import { findRule } from '../rules/rule.ts';
import { runSteps } from '../rules/steps.ts';
import type { Command } from './command.ts';
import { COMMON_HELP, confirm, openAccount, parseOneName, stepReporter } from './rule-context.ts';

export const command: Command = {
  summary: 'delete it; the subscription and the stored objects stay',
  help: `
Usage: tdmq-backup rule delete NAME [--delete-subscription] [--delete-run-role] [--yes]

Deletes the function and its timer. The stored objects always stay; the subscription and the run role stay unless
told otherwise, and the command says what remains.

  --delete-subscription   deletes the subscription too: messages that are not stored yet are lost
  --delete-run-role       deletes the run role too, if tdmq-backup made it
  --yes                   does not ask
${COMMON_HELP}

Examples:
  tdmq-backup rule delete orders-backup
  tdmq-backup rule delete orders-backup --delete-subscription --delete-run-role --yes
`,
  async run(args, io) {
    const { values, name } = parseOneName(args, {
      'delete-subscription': { type: 'boolean', default: false },
      'delete-run-role': { type: 'boolean', default: false },
      yes: { type: 'boolean', default: false },
    });
    const options = { subscription: values['delete-subscription'], runRole: values['delete-run-role'] };
    const { cloud } = await openAccount(values, io);
    const rule = await findRule(cloud, name);
    const steps = await planDelete(cloud, rule, options);
    const remains = whatRemains(rule, options);
    if (!values.yes) {
      for (const step of steps) io.stderr.write(`  ${step.title}\n`);
      if (options.subscription) io.stderr.write('  Messages that are not stored yet are lost with it.\n');
    }
    if (!(await confirm(`Delete the rule ${rule.name}?`, values.yes, io))) {
      io.stderr.write('Nothing was deleted.\n');
      return 1;
    }
    await runSteps(steps, { signal: io.signal, onStep: stepReporter(io) });
    if (values.json) {
      io.stdout.write(
        `${JSON.stringify({ rule: rule.name, deleted: steps.map((step) => step.call), remains })}\n`,
      );
    } else {
      io.stdout.write(`The rule ${rule.name} is deleted. What remains:\n`);
      for (const one of remains) io.stdout.write(`  ${one}\n`);
    }
    return 0;
  },
};
