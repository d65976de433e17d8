// `tdmq-backup smoke`: the last step of a deployment. Publishes a few marked messages, lets the deployed function run, and
// proves from the bucket that each is stored once. It removes nothing: it reports what it leaves behind.

import { type Credentials, parseConfig, type RuleConfig } from '../../config.ts';
import { BackupError } from '../../errors.ts';
import type { Environment } from '../../read-settings.ts';
import { type CheckResult, fail } from '../../rules/check-result.ts';
import { findRule, type Rule } from '../../rules/rule.ts';
import type { Command, Terminal } from '../command.ts';
import { parseArgs } from '../parse-args.ts';
import {
  COMMON_FLAGS,
  COMMON_HELP,
  confirm,
  isInteractive,
  openAccount,
  whileWaiting,
} from '../rule/context.ts';
import { paint } from '../terminal/paint.ts';
import { UsageError } from '../usage-error.ts';
import { newMark } from './marked-messages.ts';
import { proveRule } from './proof.ts';
import { MARK_PROPERTY, startTraces, type Traces, tracesLines } from './traces.ts';

export const command: Command = {
  summary: 'prove a deployed rule with a few marked messages, before you trust it',
  help: `
Usage: tdmq-backup smoke --env-file FILE [--yes] [--no-publish]
       tdmq-backup smoke NAME [--yes] [--no-publish]

The last step of a deployment, against the real account. It invokes the rule's function, publishes one marked message to
each partition (3 to 16 in all), invokes the function again, and reads back from the bucket: each marked message has to be
in exactly one object, whole and with the checksum that COS and the manifest have, and a manifest has to name that object.
Every step is ✓, ⚠ (not possible here, and why) or ✗, with a hint. The end says what it left behind.

The marked messages have the property ${MARK_PROPERTY}. Other consumers of the topic get them too: the command says so and
asks. Where the role may not produce, or the broker is not reached from here, it proves what the function stores of the
messages that come. With FILE_LINGER_MINUTES they are published with a time so long ago that the next run stores them.
PULSAR_TOKEN in the environment goes before that of the rule: it can be the key of a role that may
produce. With NAME the settings are those of the deployed function. The cluster's access address is private: run it inside the VPC. API keys need
policies/archive-user.json and the right to look up and invoke the function (policies/deploy-user.json).

  --yes, -y     publish without asking
  --no-publish  publish nothing: prove what comes
${COMMON_HELP}

Exit code 0 only where every step was proved. At Ctrl-C it ends within a second; a run that has begun goes on.

Examples:
  tdmq-backup smoke --env-file .env.orders
  tdmq-backup smoke orders-backup --no-publish
  tdmq-backup smoke --env-file .env.orders --yes --json | jq .left
`,
  endsWithinMs: 900,
  async run(args, terminal) {
    const { values, positionals } = parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        ...COMMON_FLAGS,
        yes: { type: 'boolean', short: 'y', default: false },
        'no-publish': { type: 'boolean', default: false },
      },
    });
    const [name, ...more] = positionals;
    if (more.length > 0) throw new UsageError(`one rule at a time: ${more.join(' ')} is too much`);
    const publishes = !values['no-publish'];
    if (publishes && !values.yes && !isInteractive(terminal))
      throw new UsageError('nobody can be asked here: pass --yes to publish, or --no-publish');
    const findings: CheckResult[] = [];
    const add = (finding: CheckResult) => {
      findings.push(finding);
      if (!values.json) show(finding, terminal);
    };
    const { cloud, access } = await openAccount(values, terminal, terminal.env['COS_REGION']);
    const deployed = name === undefined ? {} : settingsOf(await findRule(cloud, name));
    const config = readConfig({ ...deployed, ...terminal.env, ...functionKeys(access.credentials) });
    if (Array.isArray(config)) {
      for (const finding of config) add(finding);
      return conclude(findings, undefined, values.json, terminal);
    }
    const traces = startTraces(config.pulsar.topic.full, newMark());
    const showTraces = () => {
      for (const line of tracesLines(traces, config.rule)) terminal.stderr.write(`${line}\n`);
    };
    // At once, whatever the command waits for then.
    terminal.signal.addEventListener('abort', showTraces);
    try {
      const proof = proveRule({
        cloud,
        config,
        endpoints: {
          cos: config.cos.endpoint ?? access.endpoint,
          api: terminal.env['TENCENTCLOUD_API_ENDPOINT'] || undefined,
        },
        publishes,
        mayPublish: () => mayPublish(traces, values.yes, terminal),
        during: (what, work) => whileWaiting(what, terminal, work),
        traces,
        signal: terminal.signal,
      });
      for await (const finding of proof) add(finding);
      terminal.signal.throwIfAborted();
    } catch (error) {
      if (!terminal.signal.aborted) showTraces();
      throw error;
    } finally {
      terminal.signal.removeEventListener('abort', showTraces);
    }
    return conclude(findings, { traces, rule: config.rule }, values.json, terminal);
  },
};

/** The settings of a deployed rule, with what SCF adds to them. */
const settingsOf = (rule: Rule): Environment => ({
  RULE_NAME: rule.name,
  COS_REGION: rule.region,
  ...rule.environment,
});

/** API keys under the names that SCF gives them. */
const functionKeys = ({ secretId, secretKey, sessionToken }: Credentials): Environment => ({
  TENCENTCLOUD_SECRETID: secretId,
  TENCENTCLOUD_SECRETKEY: secretKey.reveal(),
  TENCENTCLOUD_SESSIONTOKEN: sessionToken?.reveal(),
});

/** The settings, or one finding for each that is wrong. */
function readConfig(env: Environment): RuleConfig | CheckResult[] {
  try {
    return parseConfig(env, 'shell');
  } catch (error) {
    if (!(error instanceof BackupError)) throw error;
    const hint = error.hint ?? 'Correct it.';
    return error.faults.length === 0
      ? [fail('settings', error.message, hint)]
      : error.faults.map(({ text }) => fail('settings', text, hint));
  }
}

async function mayPublish({ topic, mark }: Traces, isSaid: boolean, terminal: Terminal): Promise<boolean> {
  terminal.stderr.write(
    `This publishes a few messages to ${topic}, marked ${MARK_PROPERTY}=${mark}. Nothing can remove them from the topic, and its other consumers get them too.\n`,
  );
  return confirm('Publish them?', isSaid, terminal);
}

function show({ item, status, cause, hint }: CheckResult, terminal: Terminal): void {
  const { green, yellow, red, dim } = paint(terminal.stdout, terminal.env);
  const sign = { ok: green('✓'), warn: yellow('⚠'), fail: red('✗') }[status];
  terminal.stdout.write(`${sign} ${item.padEnd(10)}  ${cause}\n`);
  if (hint !== undefined) terminal.stdout.write(`${' '.repeat(14)}${dim('→')} ${hint}\n`);
}

function conclude(
  findings: readonly CheckResult[],
  left: { readonly traces: Traces; readonly rule: string } | undefined,
  json: boolean,
  terminal: Terminal,
): number {
  const isProved = findings.every(({ status }) => status !== 'fail');
  if (json) {
    terminal.stdout.write(
      `${JSON.stringify({ ok: isProved, findings, ...(left && { left: left.traces }) })}\n`,
    );
    return isProved ? 0 : 1;
  }
  const lines = left === undefined ? [] : tracesLines(left.traces, left.rule);
  for (const line of lines) terminal.stdout.write(`${line}\n`);
  const end = isProved
    ? 'The rule stores what is published.'
    : 'This is not proved: do not trust the rule yet.';
  terminal.stdout.write(`\n${end}\n`);
  return isProved ? 0 : 1;
}
