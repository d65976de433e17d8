// A deployed rule as a Terraform file for the provider tencentcloud. It is JSON (`.tf.json`): that is as good to Terraform
// as HCL, has one rule of quoting, and can be checked against the provider's schema. It never contains a secret.
import { VARIABLES } from '../settings.ts';
import { ifThere } from './api-failure.ts';
import type { Cloud } from './cloud.ts';
import { HANDLER, type RetryPolicy } from './function-steps.ts';
import { RULE_TAG, type Rule } from './rule.ts';

/** The release of the provider whose schema the file was checked against. */
export const PROVIDER_VERSION = '1.83.25';

/** What a function has besides its configuration. */
export interface FunctionLimits {
  /** `undefined`: none is reserved. */
  readonly reservedMb: number | undefined;
  /** `undefined`: SCF's own. */
  readonly retries: RetryPolicy | undefined;
}

/** Reads the limits of a rule's function. @throws BackupError `rule` */
export async function readLimits(cloud: Cloud, { functionName }: Rule): Promise<FunctionLimits> {
  const request = { FunctionName: functionName };
  const [reserved, invoked] = await Promise.all([
    cloud.call('scf', 'GetReservedConcurrencyConfig', request),
    ifThere(cloud.call('scf', 'GetFunctionEventInvokeConfig', request)),
  ]);
  const policy = invoked?.AsyncTriggerConfig;
  return {
    reservedMb: reserved.ReservedMem || undefined,
    retries: policy && { times: policy.RetryConfig[0]?.RetryNum ?? 0, waitSeconds: policy.MsgTTL },
  };
}

/** SCF's namespace of a rule's function. */
const NAMESPACE = 'default';

/** A reference to something else in the configuration. */
const reference = (path: string): string => `\${${path}}`;
const FUNCTION = reference('tencentcloud_scf_function.rule.name');

/** The rule as the text of a `.tf.json`, and the settings that became sensitive variables. */
export function formatTerraform(
  rule: Rule,
  limits: FunctionLimits,
): { readonly text: string; readonly secrets: readonly string[] } {
  const secrets = Object.keys(rule.environment).filter(isSecret);
  const variableOf = variableNames(secrets);
  const { reservedMb, retries } = limits;
  const timers = rule.timers.map((timer, i) => ({ label: `timer_${i + 1}`, timer }));
  const file = {
    '//': notes(rule, secrets.map(variableOf)),
    terraform: {
      required_version: '>= 1.5',
      required_providers: {
        tencentcloud: { source: 'tencentcloudstack/tencentcloud', version: `>= ${PROVIDER_VERSION}` },
      },
    },
    provider: { tencentcloud: { region: literal(rule.region) } },
    variable: {
      function_zip: {
        type: 'string',
        default: 'dist/function.zip',
        description: 'What tdmq-backup package writes. Another name uploads other code.',
      },
      ...Object.fromEntries(
        secrets.map((name) => [
          variableOf(name),
          { type: 'string', sensitive: true, description: `The setting ${name} of the rule.` },
        ]),
      ),
    },
    resource: {
      tencentcloud_scf_function: { rule: functionOf(rule, variableOf) },
      ...(timers.length > 0 && {
        tencentcloud_scf_trigger: Object.fromEntries(
          timers.map(({ label, timer }) => [
            label,
            {
              function_name: FUNCTION,
              namespace: NAMESPACE,
              trigger_name: literal(timer.name),
              type: 'timer',
              trigger_desc: literal(timer.cron),
              qualifier: literal(timer.qualifier),
              enable: timer.isOn ? 'OPEN' : 'CLOSE',
              ...(timer.argument !== undefined && { custom_argument: literal(timer.argument) }),
            },
          ]),
        ),
      }),
      ...(retries !== undefined && {
        tencentcloud_scf_function_event_invoke_config: {
          rule: {
            function_name: FUNCTION,
            namespace: NAMESPACE,
            async_trigger_config: [
              { retry_config: [{ retry_num: retries.times }], msg_ttl: retries.waitSeconds },
            ],
          },
        },
      }),
      ...(reservedMb !== undefined && {
        tencentcloud_scf_reserved_concurrency_config: {
          rule: { function_name: FUNCTION, namespace: NAMESPACE, reserved_concurrency_mem: reservedMb },
        },
      }),
    },
    // How the provider writes the ids of each.
    import: [
      { to: 'tencentcloud_scf_function.rule', id: `${NAMESPACE}+${rule.functionName}` },
      ...timers.map(({ label, timer }) => ({
        to: `tencentcloud_scf_trigger.${label}`,
        id: literal(`${rule.functionName}#${NAMESPACE}#${timer.name}`),
      })),
      ...(retries === undefined
        ? []
        : [
            {
              to: 'tencentcloud_scf_function_event_invoke_config.rule',
              id: `${rule.functionName}#${NAMESPACE}`,
            },
          ]),
      ...(reservedMb === undefined
        ? []
        : [
            {
              to: 'tencentcloud_scf_reserved_concurrency_config.rule',
              id: `${NAMESPACE}#${rule.functionName}`,
            },
          ]),
    ],
  };
  return { text: `${JSON.stringify(file, undefined, 2)}\n`, secrets };
}

function functionOf(rule: Rule, variableOf: (name: string) => string): object {
  const environment = Object.entries(rule.environment).map(([name, value]) => [
    name,
    isSecret(name) ? reference(`var.${variableOf(name)}`) : literal(value),
  ]);
  return {
    name: literal(rule.functionName),
    description: literal(rule.description),
    func_type: 'Event',
    handler: HANDLER,
    runtime: literal(rule.runtime),
    mem_size: rule.memoryMb,
    timeout: rule.timeoutSeconds,
    zip_file: reference('var.function_zip'),
    environment: Object.fromEntries(environment),
    ...(rule.runRole !== undefined && { role: literal(rule.runRole) }),
    ...(rule.vpc !== undefined && { vpc_id: literal(rule.vpc.vpcId), subnet_id: literal(rule.vpc.subnetId) }),
    enable_public_net: true,
    ...(rule.cls !== undefined && {
      cls_logset_id: literal(rule.cls.logsetId),
      cls_topic_id: literal(rule.cls.topicId),
    }),
    tags: { [RULE_TAG]: literal(rule.name) },
  };
}

/** What nobody has declared harmless is kept out. */
const isSecret = (name: string): boolean => {
  const variable = (VARIABLES as Record<string, { secret?: boolean } | undefined>)[name];
  return variable === undefined || variable.secret === true;
};

/** `PULSAR_TOKEN` → `rule_pulsar_token`; names that differ only in what a variable cannot show are numbered. */
function variableNames(names: readonly string[]): (name: string) => string {
  const taken = new Set<string>();
  const byName = new Map<string, string>();
  for (const name of names) {
    const plain = `rule_${name.toLowerCase().replaceAll(/[^a-z0-9_]/g, '_')}`;
    let own = plain;
    for (let i = 2; taken.has(own); i++) own = `${plain}_${i}`;
    taken.add(own);
    byName.set(name, own);
  }
  return (name) => byName.get(name) as string;
}

/** Terraform reads every text as a template: what would begin one is doubled. */
const literal = (text: string): string => text.replaceAll(/[$%](?=\{)/g, (sign) => sign + sign);

const notes = (rule: Rule, variables: readonly string[]): string[] => [
  `The rule ${rule.name} in ${rule.region}, for Terraform 1.5 or later; written by tdmq-backup rule export.`,
  'The import blocks take over the function that is deployed; remove them to make a new one from this file.',
  ...(variables.length > 0
    ? [
        `Secrets are variables: set ${variables.map((name) => `TF_VAR_${name}`).join(', ')}. Terraform's state contains them; protect it.`,
      ]
    : []),
  "The provider does not notice a zip that changes under the same name: write each version under a name of its own and set TF_VAR_function_zip to it. It does not set the index of the log topic (`tdmq-backup check` names what is missing), nor SCF's own log topic where the function has none.",
  'Not in this file: the bucket, the run role and its policies (policies/run-role.json), the TDMQ role, and the subscription, which the first run makes at PULSAR_INITIAL_POSITION.',
];
