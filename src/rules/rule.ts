// What a deployed rule is: an SCF function with the rule's tag, its settings in the environment, its timer. The tag is
// the one convention: whatever made the function (`rule create` or serverless.yml), the tag makes it a rule.
import { parseRuleSettings, type RuleSettings } from '../config.ts';
import { BackupError } from '../errors.ts';
import { VARIABLES } from '../settings.ts';
import { ifThere } from './api-failure.ts';
import { type ApiResponse, allPages, type Cloud } from './cloud.ts';

/** The tag's key; its value is the rule's name. */
export const RULE_TAG = 'tdmq-backup';

export interface Timer {
  readonly name: string;
  /** Seven fields. */
  readonly cron: string;
  readonly isOn: boolean;
  readonly qualifier: string;
  /** What its events bring along. */
  readonly argument?: string | undefined;
}

export interface Rule {
  readonly name: string;
  readonly functionName: string;
  readonly region: string;
  /** SCF's word: Active, Creating, Updating, CreateFailed … */
  readonly status: string;
  readonly statusReason: string | undefined;
  readonly description: string;
  readonly environment: Readonly<Record<string, string>>;
  readonly memoryMb: number;
  readonly timeoutSeconds: number;
  readonly runtime: string;
  readonly vpc: { readonly vpcId: string; readonly subnetId: string } | undefined;
  readonly runRole: string | undefined;
  readonly cls: { readonly logsetId: string; readonly topicId: string } | undefined;
  readonly timers: readonly Timer[];
  readonly createdAt: string | undefined;
  readonly modifiedAt: string | undefined;
}

/** Every rule of the region, by name. */
export async function listRules(cloud: Cloud): Promise<Rule[]> {
  const functions = await allPages(async (Offset) => {
    const answer = await cloud.call('scf', 'ListFunctions', { Offset, Limit: 100 });
    return { rows: answer.Functions, total: answer.TotalCount };
  });
  const names = functions
    .filter((one) => one.Tags?.some((tag) => tag.Key === RULE_TAG))
    .map((one) => one.FunctionName ?? '');
  const rules: Rule[] = [];
  for (const name of names) {
    const rule = await readRule(cloud, name);
    if (rule !== undefined) rules.push(rule);
  }
  return rules.sort((a, b) => a.name.localeCompare(b.name));
}

/** The rule with this name (also where the function is named differently). @throws BackupError `rule` */
export async function findRule(cloud: Cloud, name: string): Promise<Rule> {
  const direct = await readRule(cloud, name);
  if (direct?.name === name) return direct;
  const rules = await listRules(cloud);
  const found = rules.find((one) => one.name === name);
  if (found !== undefined) return found;
  throw new BackupError(
    'rule',
    direct === undefined || direct.name !== ''
      ? `there is no rule ${JSON.stringify(name)} in ${cloud.region}`
      : `the function ${JSON.stringify(name)} has no tag ${RULE_TAG}, so it is no rule`,
    {
      hint:
        rules.length === 0
          ? 'No rule lives in this region. Pass --region for another, or make one with `tdmq-backup rule create`.'
          : `Rules of this region: ${rules.map((one) => one.name).join(', ')}. Pass --region for another.`,
    },
  );
}

/** The function as a rule, its name empty where the tag is missing; `undefined` where there is no such function. */
async function readRule(cloud: Cloud, functionName: string): Promise<Rule | undefined> {
  const fn = await ifThere(cloud.call('scf', 'GetFunction', { FunctionName: functionName }));
  return fn && ruleOf(fn, cloud.region);
}

function ruleOf(fn: ApiResponse<'scf', 'GetFunction'>, region: string): Rule {
  const { VpcId: vpcId, SubnetId: subnetId } = fn.VpcConfig ?? {};
  return {
    name: fn.Tags?.find((tag) => tag.Key === RULE_TAG)?.Value ?? '',
    functionName: fn.FunctionName ?? '',
    region,
    status: fn.Status ?? '',
    statusReason: fn.StatusReasons?.[0]?.ErrorMessage || fn.StatusDesc || undefined,
    description: fn.Description ?? '',
    environment: Object.fromEntries(
      (fn.Environment?.Variables ?? []).map((one) => [one.Key ?? '', one.Value ?? '']),
    ),
    memoryMb: fn.MemorySize ?? 0,
    timeoutSeconds: fn.Timeout ?? 0,
    runtime: fn.Runtime ?? '',
    vpc: vpcId ? { vpcId, subnetId: subnetId ?? '' } : undefined,
    runRole: fn.Role || undefined,
    cls: fn.ClsTopicId ? { logsetId: fn.ClsLogsetId ?? '', topicId: fn.ClsTopicId } : undefined,
    timers: (fn.Triggers ?? [])
      .filter((one) => one.Type === 'timer')
      .map((one) => ({
        name: one.TriggerName ?? '',
        cron: cronOf(one.TriggerDesc ?? ''),
        isOn: one.Enable === 1,
        qualifier: one.Qualifier || '$LATEST',
        argument: one.CustomArgument || undefined,
      })),
    createdAt: fn.AddTime || undefined,
    modifiedAt: fn.ModTime || undefined,
  };
}

/**
 * Whether serverless.yml made the function: its description says so, and it sets `RULE_NAME`, which a rule of
 * `rule create` has from its function's name.
 */
export const isOfServerlessYml = ({ description, environment }: Rule): boolean =>
  description.includes('serverless.yml') || 'RULE_NAME' in environment;

/** What to do about a change to such a rule, since the next deployment sends all of serverless.yml again. */
export const deploymentHint = ({ name }: Rule, what: string): string =>
  `The rule was deployed with serverless.yml: the next \`scf deploy\` ${what}. \`tdmq-backup rule export ${name}\` writes its .env.<stage> as the rule is now.`;

const CHINA_MS = 8 * 3_600_000;

/** SCF's times have no zone; they are China's. */
export const formatScfTime = (ms: number) =>
  new Date(ms + CHINA_MS).toISOString().slice(0, 19).replace('T', ' ');
export const parseScfTime = (text: string) => Date.parse(`${text.replace(' ', 'T')}Z`) - CHINA_MS;

/** SCF gives back a timer's cron as JSON, `{"cron": "…"}`. */
function cronOf(description: string): string {
  try {
    return String((JSON.parse(description) as { cron?: unknown }).cron);
  } catch {
    return description;
  }
}

/**
 * The settings as the function itself will read them, with what SCF adds at run time.
 * @throws BackupError `config` that lists every fault
 */
export function checkSettings(
  environment: Readonly<Record<string, string>>,
  functionName: string,
  region: string,
): RuleSettings {
  return parseRuleSettings({
    ...environment,
    SCF_FUNCTIONNAME: functionName,
    TENCENTCLOUD_REGION: region,
  });
}

/** A setting for a person's eyes. */
export function shownSetting(name: string, value: string): string {
  const variable = (VARIABLES as Record<string, { secret?: boolean }>)[name];
  return variable === undefined || variable.secret ? '[secret]' : value;
}
