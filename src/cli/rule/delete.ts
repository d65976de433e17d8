// `tdmq-backup rule delete`: deletes the function with its timer, and says what remains. Stored objects go last, and
// only after a question of their own.
import { planDelete, whatRemains } from '../../rules/delete-steps.ts';
import { findRule, type Rule } from '../../rules/rule.ts';
import { openRuleObjects, type RuleObjects } from '../../rules/rule-objects.ts';
import type { Command, Terminal } from '../command.ts';
import { openPrompt } from '../terminal/prompt.ts';
import { makeChanges, whileChanging } from './changes.ts';
import { COMMON_HELP, confirm, openAccount, parseOneName, whileWaiting } from './context.ts';

export const command: Command = {
  summary: 'delete it; the subscription and the stored objects stay unless you ask for more',
  help: `
Usage: tdmq-backup rule delete NAME [--delete-subscription] [--delete-run-role] [--delete-objects] [--yes]

Deletes the function and its timer. The subscription, the run role and the stored objects stay unless you ask for more,
and the command says what remains.

  --delete-subscription   deletes the subscription too: messages that are not stored yet are lost
  --delete-run-role       deletes the run role too, if tdmq-backup made it
  --delete-objects        removes what the rule has stored too, after you typed the rule's name: the folder of its
                          topic, its run manifests and its unreadable entries, nothing else under the prefix.
                          Cannot be undone. Refused where another rule stores in the same folders. Older versions
                          in a bucket with versioning stay. Your keys need name/cos:GetBucket and
                          name/cos:DeleteObject on the prefix: policies/remove-objects.json
  --yes, -y               does not ask; with --delete-objects it does not ask for the name either
${COMMON_HELP}

Examples:
  tdmq-backup rule delete orders-backup
  tdmq-backup rule delete orders-backup --delete-subscription --delete-run-role --yes
  tdmq-backup rule delete orders-backup --delete-objects
`,
  async run(args, terminal) {
    const { values, name } = parseOneName(args, {
      'delete-subscription': { type: 'boolean', default: false },
      'delete-run-role': { type: 'boolean', default: false },
      'delete-objects': { type: 'boolean', default: false },
      yes: { type: 'boolean', short: 'y', default: false },
    });
    const options = {
      subscription: values['delete-subscription'],
      runRole: values['delete-run-role'],
      objects: values['delete-objects'],
    };
    const { cloud, access } = await openAccount(values, terminal);
    const rule = await findRule(cloud, name);
    const steps = await planDelete(cloud, rule, options);
    const remains = whatRemains(rule, options);
    const objects = options.objects ? await openRuleObjects(cloud, rule, access) : undefined;
    try {
      const count = await whileWaiting(
        'counting objects',
        terminal,
        async () => (await objects?.count()) ?? 0,
      );
      if (!values.yes) {
        for (const step of steps) terminal.stderr.write(`  ${step.title}\n`);
        if (options.subscription)
          terminal.stderr.write('  Messages that are not stored yet are lost with it.\n');
        terminal.stderr.write(remains.length === 0 ? 'Nothing of it will remain.\n' : 'What will remain:\n');
        for (const one of remains) terminal.stderr.write(`  ${one}\n`);
      }
      if (objects !== undefined) announce(objects, count, terminal);
      if (!(await isAgreed(rule, objects, count, values.yes, terminal))) {
        terminal.stderr.write('Nothing was deleted.\n');
        return 1;
      }
      await makeChanges(steps, terminal);
      const removed = objects && (await whileChanging(terminal, () => objects.removeAll()));
      if (values.json) {
        const deleted = steps.map((step) => step.call);
        const answer = { rule: rule.name, deleted, removedObjects: removed ?? 0, remains };
        terminal.stdout.write(`${JSON.stringify(answer)}\n`);
        return 0;
      }
      terminal.stdout.write(`The rule ${rule.name} is deleted.\n`);
      if (removed !== undefined)
        terminal.stdout.write(`${removed} objects are removed from ${objects?.bucket}.\n`);
      terminal.stdout.write(remains.length === 0 ? 'Nothing of it remains.\n' : 'What remains:\n');
      for (const one of remains) terminal.stdout.write(`  ${one}\n`);
      return 0;
    } finally {
      await objects?.close();
    }
  },
};

function announce({ bucket, prefix, folders }: RuleObjects, count: number, terminal: Terminal): void {
  terminal.stderr.write(
    `  remove ${count} objects of the bucket ${bucket} with the prefix ${prefix || '(none)'}, in\n`,
  );
  for (const folder of folders) terminal.stderr.write(`    ${folder}\n`);
}

/** One question for the rule; where its objects go too, the answer must be its name. */
async function isAgreed(
  rule: Rule,
  objects: RuleObjects | undefined,
  count: number,
  isSaid: boolean,
  terminal: Terminal,
): Promise<boolean> {
  const question = `Delete the rule ${rule.name}?`;
  if (!(await confirm(question, isSaid, terminal))) return false;
  if (isSaid || objects === undefined) return true;
  const prompt = await openPrompt(terminal);
  const where = `${objects.bucket}/${objects.prefix}`;
  const typed = await prompt.ask(
    `This removes ${count} objects from ${where} for good. Type the rule's name to go on`,
    { fallback: '' },
  );
  return typed === rule.name;
}
