// `tdmq-backup rule create`: fills in the form, shows the plan, makes the rule, and leaves nothing half-made.
import { parseArgs } from 'node:util';
import { VARIABLES } from '../../config.ts';
import { bucketsOf, requireBucket } from '../../rules/bucket.ts';
import { planCreate, readCode, shownEnvironment } from '../../rules/function-steps.ts';
import { type ResolvedRule, resolveRule } from '../../rules/resolve-rule.ts';
import { formOfSettings, mergeForms } from '../../rules/rule-form.ts';
import type { Step } from '../../rules/steps.ts';
import type { Command, Terminal } from '../command.ts';
import { paint } from '../terminal/paint.ts';
import { openPrompt } from '../terminal/prompt.ts';
import { askForm } from './ask.ts';
import { makeChanges, showCalls } from './changes.ts';
import { COMMON_FLAGS, COMMON_HELP, confirm, isInteractive, openAccount, whileWaiting } from './context.ts';
import {
  CHANGE_FLAGS,
  fieldFlags,
  fieldHelp,
  flagsOfForm,
  formOfFlags,
  readRuleFile,
  zipPathOf,
} from './flags.ts';

export const command: Command = {
  summary: 'make a rule',
  help: `
Usage: tdmq-backup rule create [--file FILE] [flags]

Makes a function with its settings and timer, the subscription where it is missing, and the run role if asked.
On a terminal it asks for what is not given, from lists of what the account has. If a step fails, or at Ctrl-C, what
was made is removed again.

${fieldHelp()}
  --set NAME=VALUE      any other setting, by its variable (FILE_COMPRESSION=gzip); may be repeated
  --file FILE           rule.yml with these fields (tdmqRole for --tdmq-role), or a .env.<stage> of \`rule export\`
  --create-run-role     make the run role, with the least policy, where it does not exist
  --no-reserve          reserve no concurrency: ticks may overlap, and the second one ends as busy
  --package FILE        the function's zip; by default dist/function.zip of this package
  --dry-run             show the calls and the settings, change nothing
  --yes                 ask nothing: what is not given takes its default
${COMMON_HELP}

The role key is stored in the function by default: it then needs neither a way out to the TDMQ API nor a run role
that may read the keys of every TDMQ role. With --role-key runtime the function reads the key at each run.

Examples:
  tdmq-backup rule create
  tdmq-backup rule create --file rule.yml --dry-run
  tdmq-backup rule create --name orders-backup --cluster pulsar-abc --namespace default --topic orders \\
    --subscription backup --tdmq-role backup-reader --bucket archive-1250000000 --prefix tdmq/orders/ \\
    --create-run-role --yes
`,
  async run(args, terminal) {
    const { values } = parseArgs({
      args: [...args],
      options: {
        ...COMMON_FLAGS,
        ...fieldFlags(),
        ...CHANGE_FLAGS,
        'no-reserve': { type: 'boolean', default: false },
      },
    });
    const { file, json } = values;
    const given = mergeForms(
      formOfSettings(Object.fromEntries(Object.entries(terminal.env).filter(([name]) => name in VARIABLES))),
      ...(file === undefined ? [] : [await readRuleFile(file)]),
      formOfFlags(values),
    );
    const { cloud, access } = await openAccount(values, terminal, given.settings['COS_REGION']);
    // One for all questions: what was typed ahead is not lost between them.
    const prompt = isInteractive(terminal) && !json && !values.yes ? openPrompt(terminal) : undefined;
    try {
      const asked =
        prompt &&
        (await askForm(cloud, given, prompt, {
          createRunRole: values['create-run-role'],
          listBuckets: () => bucketsOf(cloud.region, access),
        }));
      if (asked !== undefined) {
        const more = asked.createRunRole ? ' --create-run-role' : '';
        const flags = `${flagsOfForm(asked.form)}${more}`;
        terminal.stderr.write(`The same without questions:\n  tdmq-backup rule create ${flags} --yes\n`);
      }
      const [resolved, doubt] = await whileWaiting('looking up what the rule needs', terminal, async () => {
        const found = await resolveRule(cloud, asked?.form ?? given, {
          createRunRole: asked?.createRunRole ?? values['create-run-role'],
          nowMs: cloud.clock.now(),
        });
        return [found, await requireBucket(found.config.cos, access)] as const;
      });
      const rule = doubt === undefined ? resolved : { ...resolved, warnings: [...resolved.warnings, doubt] };
      const zipPath = zipPathOf(values);
      // Read before anything is made: a missing package must not be found out half-way.
      const zip = values['dry-run'] ? undefined : await readCode(zipPath);
      const steps = planCreate(cloud, rule, async () => zip ?? (await readCode(zipPath)), {
        reserve: !values['no-reserve'],
      });
      if (values['dry-run'] || (!json && !values.yes)) showPlan(rule, steps, json, terminal);
      if (values['dry-run']) return 0;
      if (!(await confirm(`Make the rule ${rule.name}?`, values.yes, terminal, prompt))) {
        terminal.stderr.write('Nothing was made.\n');
        return 1;
      }
      await makeChanges(steps, terminal);
      showMade(rule, json, terminal);
      return 0;
    } finally {
      prompt?.close();
    }
  },
};

function showMade(rule: ResolvedRule, json: boolean, terminal: Terminal): void {
  const { name, region, warnings } = rule;
  const { intervalMinutes } = rule.config.run;
  if (json) {
    terminal.stdout.write(`${JSON.stringify({ rule: name, region, intervalMinutes, warnings })}\n`);
    return;
  }
  for (const warning of warnings)
    terminal.stderr.write(`${paint(terminal.stderr, terminal.env).yellow('⚠')} ${warning}\n`);
  terminal.stdout.write(
    `The rule ${name} runs every ${intervalMinutes} minutes. \`tdmq-backup rule show ${name}\` tells how it is.\n`,
  );
}

/** The calls in order, and the settings that result. */
function showPlan(rule: ResolvedRule, steps: readonly Step[], json: boolean, terminal: Terminal): void {
  const settings = shownEnvironment(rule);
  if (json) {
    const calls = steps.map(({ title, call, request }) => ({ title, call, request }));
    terminal.stdout.write(
      `${JSON.stringify({ rule: rule.name, region: rule.region, calls, settings, warnings: rule.warnings })}\n`,
    );
    return;
  }
  const { bold, dim, yellow } = paint(terminal.stdout, terminal.env);
  terminal.stdout.write(`${bold(`Calls in ${rule.region}`)}\n`);
  showCalls(steps, terminal);
  terminal.stdout.write(`${bold('Function')}\n`);
  const facts = {
    memory: `${rule.memoryMb} MB`,
    timeout: `${rule.timeoutSeconds} s`,
    'run role': rule.runRole,
    network: `${rule.vpc.vpcId} / ${rule.vpc.subnetId}`,
    logs: rule.cls === undefined ? 'not in CLS' : `CLS topic ${rule.cls.topicId}`,
  };
  for (const [name, value] of Object.entries({ ...facts, ...settings })) {
    terminal.stdout.write(`  ${dim(name)} ${value}\n`);
  }
  for (const warning of rule.warnings) terminal.stdout.write(`${yellow('⚠')} ${warning}\n`);
}
