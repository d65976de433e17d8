// `tdmq-backup rule create`: fills in the form, shows the plan, makes the rule, and leaves nothing half-made.

import { BackupError } from '../../errors.ts';
import { type BucketAccess, bucketsOf, requireBucket } from '../../rules/bucket-lookup.ts';
import type { Cloud } from '../../rules/cloud.ts';
import { planCreate, readCode, shownEnvironment } from '../../rules/function-steps.ts';
import { type ResolvedRule, resolveRule } from '../../rules/resolve-rule.ts';
import { formOfSettings, mergeForms } from '../../rules/rule-form.ts';
import type { Step } from '../../rules/steps.ts';
import { VARIABLES } from '../../settings.ts';
import type { Command, Terminal } from '../command.ts';
import { parseArgs } from '../parse-args.ts';
import { paint } from '../terminal/paint.ts';
import { type BACK, openPrompt } from '../terminal/prompt.ts';
import { InputEndedError, InterruptedError, UsageError } from '../usage-error.ts';
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
import { type Asked, mergeAsked } from './question-kinds.ts';
import { ruleQuestions } from './questions.ts';
import { openWizard } from './wizard.ts';

export const command: Command = {
  summary: 'make a rule',
  help: `
Usage: tdmq-backup rule create [--file FILE] [flags]

Makes a function with its settings and timer, the subscription if there is none, and the run role if asked.
On a terminal it asks for what is not given, from lists of what the account has. If a step fails, or at Ctrl-C, what
was made is removed again.

${fieldHelp()}
  --set NAME=VALUE      any other setting, by its variable (FILE_COMPRESSION=gzip); may be repeated
  --file, -f FILE       rule.yml with these fields (tdmqRole for --tdmq-role), or a .env.<stage> of \`rule export\`
  --create-run-role     make the run role, with the least policy, where it does not exist
  --no-reserve          reserve no concurrency: ticks may overlap, and one too many ends as busy
  --package FILE        the function's zip; by default dist/function.zip of this package
  --dry-run             show the calls and the settings, change nothing
  --yes, -y             ask nothing: what is not given takes its default
${COMMON_HELP}

The role key is stored in the function by default: it then needs neither a way out to the TDMQ API nor a run role
that may read the keys of every TDMQ role. With --role-key runtime the function reads the key at each run.

Examples:
  tdmq-backup rule create
  tdmq-backup rule create --file rule.yml --dry-run
  tdmq-backup rule create --name orders-backup --cluster pulsar-abc --namespace default --topic orders \\
    --subscription backup --tdmq-role backup-reader --bucket archive-1250000000 --prefix tdmq/orders/ \\
    --create-run-role --yes
  tdmq-backup rule create --file rule.yml --subscription-type failover --instances 4 --yes
`,
  async run(args, terminal) {
    const { values } = parseArgs({
      args: [...args],
      options: { ...COMMON_FLAGS, ...fieldFlags(), ...CHANGE_FLAGS },
    });
    const { file, json } = values;
    const given = mergeForms(
      formOfSettings(Object.fromEntries(Object.entries(terminal.env).filter(([name]) => name in VARIABLES))),
      ...(file === undefined ? [] : [await readRuleFile(file)]),
      formOfFlags(values),
    );
    const { cloud, access } = await openAccount(values, terminal, given.settings['COS_REGION']);
    const options = { ...values, zipPath: zipPathOf(values) };
    const plan = (asked: Asked) => planRule(cloud, access, asked, options, terminal);
    const start = { form: given, createRunRole: values['create-run-role'] };
    const isAsked = isInteractive(terminal) && !json && !values.yes;
    const planned = isAsked
      ? await agreeOnPlan(cloud, access, start, values['dry-run'], plan, terminal)
      : await plan(start);
    if (planned !== undefined && (values['dry-run'] || !(isAsked || json || values.yes))) {
      showPlan(planned, json, terminal);
    }
    if (planned !== undefined && values['dry-run']) return 0;
    if (planned === undefined || !(await confirm('Make the rule?', isAsked || values.yes, terminal))) {
      terminal.stderr.write('Nothing was made.\n');
      return 1;
    }
    const { rule, steps } = planned;
    await makeChanges(steps, terminal);
    showMade(rule, json, terminal);
    return 0;
  },
};

/** A rule as it would be made, and the steps that make it. */
interface Planned {
  readonly rule: ResolvedRule;
  readonly steps: readonly Step[];
}

async function planRule(
  cloud: Cloud,
  access: BucketAccess,
  { form, createRunRole }: Asked,
  options: { readonly zipPath: string; readonly 'dry-run': boolean; readonly 'no-reserve': boolean },
  terminal: Terminal,
): Promise<Planned> {
  const [resolved, doubt] = await whileWaiting('looking up what the rule needs', terminal, async () => {
    const found = await resolveRule(cloud, form, { createRunRole, nowMs: cloud.clock.now() });
    return [found, await requireBucket(found.config.cos, access)] as const;
  });
  const rule = doubt === undefined ? resolved : { ...resolved, warnings: [...resolved.warnings, doubt] };
  // Read before anything is made: a missing package must not be found out half-way.
  const zip = options['dry-run'] ? undefined : await readCode(options.zipPath);
  const steps = planCreate(cloud, rule, async () => zip ?? (await readCode(options.zipPath)), {
    reserve: !options['no-reserve'],
  });
  return { rule, steps };
}

/**
 * Asks for what is not given, shows the plan, and lets the person correct any answer until it is right. Answers the
 * plan, or nothing where the person made nothing of it. Whatever ends it early, the answers are not lost: the command
 * that gives them is printed.
 */
async function agreeOnPlan(
  cloud: Cloud,
  access: BucketAccess,
  given: Asked,
  isDryRun: boolean,
  plan: (asked: Asked) => Promise<Planned>,
  terminal: Terminal,
): Promise<Planned | undefined> {
  const prompt = await openPrompt(terminal);
  const { red } = paint(terminal.stderr, terminal.env);
  const showFailure = (error: unknown) => {
    if (terminal.signal.aborted || error instanceof InterruptedError || error instanceof InputEndedError)
      throw error;
    if (!(error instanceof BackupError || error instanceof UsageError)) throw error;
    terminal.stderr.write(`${red('✗')} ${error.message}\n`);
    if (error instanceof BackupError && error.hint !== undefined)
      terminal.stderr.write(`  → ${error.hint}\n`);
  };
  const questions = ruleQuestions(cloud, prompt, given.form, () => bucketsOf(cloud.region, access));
  const wizard = openWizard(questions, given, prompt, { merge: mergeAsked, onFailure: showFailure });
  const change = { label: 'change an answer', value: 'change' } as const;
  const stop = { label: 'make nothing', value: 'stop' } as const;
  let isComplete = false;
  try {
    await wizard.fill();
    isComplete = true;
    for (;;) {
      let next: 'make' | 'change' | 'stop' | typeof BACK;
      try {
        const planned = await plan(wizard.answers);
        if (isDryRun) return planned;
        showPlan(planned, false, terminal);
        next = await prompt.pick(`Make the rule ${planned.rule.name}?`, [
          { label: 'make it', value: 'make' },
          ...(wizard.hasAsked ? [change] : []),
          stop,
        ]);
        if (next === 'make') return planned;
      } catch (error) {
        if (!wizard.hasAsked) throw error;
        showFailure(error);
        next = await prompt.pick('How to go on', [change, stop]);
      }
      if (next === 'stop' || !wizard.hasAsked) return undefined;
      isComplete = false;
      await wizard.change();
      isComplete = true;
    }
  } finally {
    const { form, createRunRole } = wizard.answers;
    const flags = `${flagsOfForm(form)}${createRunRole ? ' --create-run-role' : ''}`;
    if (wizard.hasAsked) {
      // With --yes, what was not answered yet would be missing, or take a default that nobody chose.
      const [title, end] = isComplete
        ? ['The same without questions', ' --yes']
        : ['To go on from these answers', ''];
      terminal.stderr.write(`${title}:\n  tdmq-backup rule create ${flags}${end}\n`);
    }
  }
}

function showMade(rule: ResolvedRule, json: boolean, terminal: Terminal): void {
  const { name, region, warnings, instances } = rule;
  const { intervalMinutes } = rule.config.run;
  if (json) {
    terminal.stdout.write(
      `${JSON.stringify({ rule: name, region, intervalMinutes, instances, warnings })}\n`,
    );
    return;
  }
  for (const warning of warnings)
    terminal.stderr.write(`${paint(terminal.stderr, terminal.env).yellow('⚠')} ${warning}\n`);
  terminal.stdout.write(
    `The rule ${name} runs every ${intervalMinutes} minutes. \`tdmq-backup rule show ${name}\` reports how it is.\nBefore you trust it, \`tdmq-backup smoke ${name}\` proves it with a few marked messages.\n`,
  );
}

/** The calls in order, and the settings that result. */
function showPlan({ rule, steps }: Planned, json: boolean, terminal: Terminal): void {
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
    runtime: rule.runtime,
    instances: String(rule.instances),
    memory: `${rule.memoryMb} MB`,
    timeout: `${rule.timeoutSeconds} s`,
    'run role': rule.runRole,
    network: `${rule.vpc.vpcId} / ${rule.vpc.subnetId}`,
    logs: rule.cls === undefined ? "SCF's own CLS topic" : `CLS topic ${rule.cls.topicId}`,
  };
  for (const [name, value] of Object.entries({ ...facts, ...settings })) {
    terminal.stdout.write(`  ${dim(name)} ${value}\n`);
  }
  for (const warning of rule.warnings) terminal.stdout.write(`${yellow('⚠')} ${warning}\n`);
}
