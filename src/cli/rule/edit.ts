// `tdmq-backup rule edit`: shows what a change amounts to, says what it would break, asks, and changes the rule.
import { requireBucket } from '../../rules/bucket-lookup.ts';
import { planEdit } from '../../rules/edit-steps.ts';
import { readCode } from '../../rules/function-steps.ts';
import { resolveRule } from '../../rules/resolve-rule.ts';
import { deploymentHint, findRule, isOfServerlessYml, type Rule } from '../../rules/rule.ts';
import { type FieldName, fieldOf, formOfRule, mergeForms, type RuleForm } from '../../rules/rule-form.ts';
import { hasDefaultTimeout } from '../../rules/schedule.ts';
import type { Command } from '../command.ts';
import { UsageError } from '../usage-error.ts';
import { makeChanges, showCalls } from './changes.ts';
import { COMMON_HELP, confirm, openAccount, parseOneName, whileWaiting } from './context.ts';
import { differences, showDifference } from './difference.ts';
import { CHANGE_FLAGS, fieldFlags, fieldHelp, formOfFlags, readRuleFile, zipPathOf } from './flags.ts';

/** What SCF does not change afterwards. */
const FIXED: readonly FieldName[] = ['name', 'runtime'];

/** What each deployment with serverless.yml does too; concurrency and retries it leaves. */
const SENT_AGAIN = /^scf:(Create|Update|Delete)(FunctionConfiguration|FunctionCode|Trigger)/;

export const command: Command = {
  summary: 'change a rule; shows the difference and asks',
  help: `
Usage: tdmq-backup rule edit NAME [flags]

Changes anything but the name and the runtime. Shows the difference and asks; changes that touch exactly-once are
explained. If a step fails, the steps before it are undone. --instances gives a rule of serverless.yml the reserved
concurrency and the retries of a new rule, also where the number stays.

${fieldHelp(FIXED)}
  --set NAME=VALUE      any other setting, by its variable; may be repeated
  --unset NAME          sets a setting back to its default; may be repeated
  --file, -f FILE       the changes from rule.yml or a .env file
  --create-run-role     make the run role, with the least policy, where it does not exist
  --no-reserve          reserves no concurrency, and frees what is reserved
  --update-code         replaces the function's package too (--package FILE, by default dist/function.zip)
  --dry-run             show the difference and the calls, change nothing
  --yes, -y             do not ask
${COMMON_HELP}

Examples:
  tdmq-backup rule edit orders-backup --interval 10 --set FILE_COMPRESSION=gzip
  tdmq-backup rule edit orders-backup --memory 1024 --dry-run
  tdmq-backup rule edit orders-backup --subscription-type failover --instances 4
  tdmq-backup rule edit orders-backup --update-code --yes
`,
  async run(args, terminal) {
    const { values, name } = parseOneName(args, {
      ...fieldFlags(FIXED),
      ...CHANGE_FLAGS,
      unset: { type: 'string', multiple: true },
      'update-code': { type: 'boolean', default: false },
    });
    const flags = formOfFlags(values);
    const changes = mergeForms(
      ...(values.file === undefined ? [] : [withoutStart(await readRuleFile(values.file))]),
      flags,
    );
    const isAboutRule = Object.keys({ ...changes.fields, ...changes.settings }).length > 0;
    if (!isAboutRule && values.unset === undefined && !values['update-code'] && !values['create-run-role']) {
      throw new UsageError(
        `say what to change, such as --interval 10 or --set FILE_COMPRESSION=gzip; \`tdmq-backup rule show ${name}\` shows what it is now`,
      );
    }
    const { cloud, access } = await openAccount(values, terminal);
    const rule = await findRule(cloud, name);
    const before = formOfRule(rule);
    for (const name of FIXED) {
      const given = changes.fields[name];
      if (given !== undefined && given !== before.fields[name])
        throw new UsageError(`a rule keeps its ${name}: the file says ${given}`);
    }
    const form = withChanges(rule, before, changes, (values.unset ?? []) as string[]);
    const resolved = await whileWaiting('looking up what the rule needs', terminal, () =>
      resolveRule(cloud, form, {
        createRunRole: values['create-run-role'],
        current: rule,
        nowMs: cloud.clock.now(),
      }),
    );
    const isBucketNew = resolved.config.cos.bucket !== rule.environment['COS_BUCKET'];
    const doubt = isBucketNew ? await requireBucket(resolved.config.cos, access) : undefined;
    const zipPath = zipPathOf(values);
    const zip = values['update-code'] ? await readCode(zipPath) : undefined;
    const plan = await planEdit(cloud, rule, resolved, zip && (async () => zip), {
      reserve: !values['no-reserve'],
      areInstancesGiven: flags.fields.instances !== undefined,
    });
    const { steps } = plan;
    const warnings = [...resolved.warnings, ...(doubt === undefined ? [] : [doubt]), ...plan.warnings];
    const difference = differences(rule, resolved);
    const { json } = values;
    const calls = values['dry-run'] && {
      calls: steps.map(({ title, call, request }) => ({ title, call, request })),
    };
    const isUndone = isOfServerlessYml(rule) && steps.some(({ call }) => SENT_AGAIN.test(call));
    const hint = isUndone ? deploymentHint(rule, 'undoes this change') : undefined;
    const answer = JSON.stringify({ rule: rule.name, difference, ...calls, warnings, hint });
    if (!json && steps.length === 0)
      terminal.stdout.write(`Nothing to change: ${rule.name} is so already.\n`);
    else if (!json) showDifference(rule, difference, warnings, terminal);
    if (steps.length === 0 || values['dry-run']) {
      if (json) terminal.stdout.write(`${answer}\n`);
      else showCalls(steps, terminal);
      return 0;
    }
    if (!(await confirm(`Change the rule ${rule.name}?`, values.yes, terminal))) {
      terminal.stderr.write('Nothing was changed.\n');
      return 1;
    }
    await makeChanges(steps, terminal);
    terminal.stdout.write(json ? `${answer}\n` : `The rule ${rule.name} is changed.\n`);
    if (!json && hint !== undefined) terminal.stdout.write(`  → ${hint}\n`);
    return 0;
  },
};

/** The start in a file was applied when the rule was made from it; only the flag moves the subscription again. */
function withoutStart({ fields, settings }: RuleForm): RuleForm {
  const { start: _start, ...rest } = fields;
  return { fields: rest, settings };
}

/** What a change replaces goes out with it: a new role brings its own key, another cluster its own address. */
function withChanges(rule: Rule, before: RuleForm, changes: RuleForm, unset: readonly string[]): RuleForm {
  const given = (...names: FieldName[]) => names.some((name) => changes.fields[name] !== undefined);
  const fields = { ...before.fields };
  const settings = { ...before.settings };
  if (given('tdmqRole', 'roleKey')) delete settings['PULSAR_TOKEN'];
  if (given('cluster', 'namespace', 'topic')) delete settings['PULSAR_TOPIC'];
  if (given('start')) delete settings['PULSAR_INITIAL_POSITION'];
  if (given('cluster', 'vpc', 'serviceUrl')) {
    delete settings['PULSAR_LISTENER_NAME'];
    delete fields.serviceUrl;
    delete fields.subnet;
    if (!given('serviceUrl')) delete fields.vpc;
  }
  // A time-out that nobody chose goes along with the interval.
  if ((given('interval') || unset.includes('RUN_INTERVAL_MINUTES')) && hasDefaultTimeout(rule)) {
    delete fields.timeout;
  }
  for (const name of unset) {
    const field = fieldOf(name);
    if (name in settings) delete settings[name];
    else if (field !== undefined && fields[field] !== undefined) delete fields[field];
    else throw new UsageError(`--unset ${name}: the rule does not set it`);
  }
  return mergeForms({ fields, settings }, changes);
}
