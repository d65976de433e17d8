// `tdmq-backup check`: tries out, before a rule is deployed, all that its function will need.

import { parseConfig, type RuleConfig } from '../../config.ts';
import { BackupError } from '../../errors.ts';
import type { Logger } from '../../ports.ts';
import { type CheckResult, fail, ok } from '../../rules/check-result.ts';
import { inspectCloud } from '../../rules/cloud-check.ts';
import type { Command, Terminal } from '../command.ts';
import { parseArgs } from '../parse-args.ts';
import { ruleEnvironment } from '../rule/environment.ts';
import { paint } from '../terminal/paint.ts';
import { checkBucket } from './cos.ts';
import { checkDeployment } from './deployment.ts';
import { checkLimits } from './limits.ts';
import { checkPulsar } from './pulsar.ts';
import { checkObjectSize } from './storage-class.ts';

export const command: Command = {
  summary: 'try out all that a rule needs, before it is deployed',
  help: `
Usage: tdmq-backup check [--env-file FILE] [--json] [--read-only] [--no-cloud]

Looks at the settings, what a deployment needs (of an --env-file that sets a DEPLOY_*), the limits of the function, what
the TDMQ and VPC APIs say of cluster, topic and network, the cluster's address, the subscription, the bucket and its
prefix.
Each item is ✓, ⚠ (works, but) or ✗ (will not work), with the cause and the hint. It subscribes as the function would
and takes no message: a subscription that does not exist yet is made by it, and while it looks, a run of an exclusive
rule is busy. It stores one small object below the prefix and removes it. API keys are TENCENTCLOUD_SECRET_ID and
TENCENTCLOUD_SECRET_KEY. The cluster's access address is private: run it inside the VPC.

  --no-cloud    does not ask the TDMQ and VPC APIs (nor does it where COS_ENDPOINT leads elsewhere)
  --read-only   does not subscribe and stores nothing; finds less
  --json        reports all findings as one JSON object

Exit codes: 0 nothing is ✗, 1 something is, 2 wrong usage.

Examples:
  tdmq-backup check --env-file .env.orders
  tdmq-backup check --env-file .env.orders --json | jq '.findings[] | select(.status != "ok")'
`,
  async run(args, terminal) {
    const { values } = parseArgs({
      args: [...args],
      options: {
        json: { type: 'boolean', default: false },
        'read-only': { type: 'boolean', default: false },
        'no-cloud': { type: 'boolean', default: false },
      },
    });
    const findings: CheckResult[] = [];
    for await (const finding of check(terminal, {
      probes: !values['read-only'],
      asksCloud: !values['no-cloud'],
    })) {
      findings.push(finding);
      if (!values.json) print(finding, terminal);
    }
    const failures = findings.filter(({ status }) => status === 'fail').length;
    const warnings = findings.filter(({ status }) => status === 'warn').length;
    if (values.json) terminal.stdout.write(`${JSON.stringify({ ok: failures === 0, findings })}\n`);
    else terminal.stdout.write(`\n${conclusion(failures, warnings)}\n`);
    return failures === 0 ? 0 : 1;
  },
};

interface Extent {
  /** Whether it may subscribe and store an object. */
  readonly probes: boolean;
  readonly asksCloud: boolean;
}

/** All findings, each as soon as it is there. */
async function* check(terminal: Terminal, { probes, asksCloud }: Extent): AsyncGenerator<CheckResult> {
  const { signal } = terminal;
  const env = await ruleEnvironment(terminal);
  const config = settings(env);
  const deployment = checkDeployment(terminal.settingsFile, env);
  if (Array.isArray(config)) return yield* [...config, ...deployment];
  yield ok('settings', `rule ${config.rule}, every ${config.run.intervalMinutes} minutes`);
  yield* deployment;
  yield* checkLimits(config, env);
  const endpoint = env['TENCENTCLOUD_API_ENDPOINT'] || undefined;
  const reported = new Set<string>();
  if (asksCloud && (config.cos.endpoint === undefined || endpoint !== undefined)) {
    for (const finding of await askCloud(config, env, endpoint, signal)) {
      reported.add(finding.item);
      yield finding;
    }
  }
  let partitions: number | undefined;
  const onPartitions = (count: number) => {
    partitions = count;
  };
  for await (const finding of checkPulsar(config, SILENT, {
    signal,
    subscribes: probes,
    tdmqEndpoint: endpoint,
    onPartitions,
  })) {
    // What both the cloud and the broker report is there once.
    if (!reported.has(finding.item)) yield finding;
  }
  signal.throwIfAborted();
  yield* checkObjectSize(config, partitions);
  yield* checkBucket(config, SILENT, { signal, writes: probes });
  signal.throwIfAborted();
}

async function askCloud(
  config: RuleConfig,
  env: Terminal['env'],
  endpoint: string | undefined,
  signal: AbortSignal,
): Promise<readonly CheckResult[]> {
  const { DEPLOY_VPC_ID: vpcId, DEPLOY_SUBNET_ID: subnetId, DEPLOY_CLS_TOPIC_ID: logTopicId } = env;
  const { credentials } = config.cos;
  const vpc = vpcId && subnetId ? { vpc: { vpcId, subnetId } } : {};
  const logs = logTopicId ? { logTopicId } : {};
  return await inspectCloud({ config, credentials, endpoint, signal, ...vpc, ...logs });
}

/** The settings, or one finding for each that is wrong. */
function settings(env: Terminal['env']): RuleConfig | CheckResult[] {
  try {
    return parseConfig(env, 'shell');
  } catch (error) {
    if (!(error instanceof BackupError)) throw error;
    return error.faults.map(({ text }) => fail('settings', text, error.hint ?? 'Correct it.'));
  }
}

function print({ item, status, cause, hint }: CheckResult, terminal: Terminal): void {
  const { green, yellow, red, dim } = paint(terminal.stdout, terminal.env);
  const mark = { ok: green('✓'), warn: yellow('⚠'), fail: red('✗') }[status];
  terminal.stdout.write(`${mark} ${item.padEnd(12)}  ${cause}\n`);
  if (hint !== undefined) terminal.stdout.write(`${' '.repeat(16)}${dim('→')} ${hint}\n`);
}

function conclusion(failures: number, warnings: number): string {
  if (failures > 0) return `${failures} of these will not work.`;
  return warnings > 0 ? `It will work; ${warnings} of these are worth a look.` : 'All is well.';
}

const nothing = (): void => undefined;
const SILENT: Logger = { debug: nothing, info: nothing, warn: nothing, error: nothing };
