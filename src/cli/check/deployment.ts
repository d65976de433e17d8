// The part of `check` for the file of a stage: with serverless.yml, a missing variable is silently removed from the
// function. Does not read serverless.yml, and sends no request.
import { basename } from 'node:path';
import type { Environment } from '../../read-settings.ts';
import { type CheckResult, fail, ok, warn } from '../../rules/check-result.ts';
import { VARIABLES } from '../../settings.ts';
import type { SettingsFile } from '../command.ts';

/** What a deployment needs, and what becomes of the function without it. */
const NEEDED: Readonly<Record<string, string>> = {
  RULE_NAME: 'serverless.yml would deploy a function under a name of its own',
  COS_REGION: 'serverless.yml would deploy into ap-guangzhou',
  COS_PREFIX: "the function would store into the bucket's root",
  RUN_INTERVAL_MINUTES: 'the timer of serverless.yml would have no time',
  DEPLOY_ROLE: 'the function would have no run role, and no right to store anything',
  DEPLOY_VPC_ID: "the function would be in no VPC, and not reach the cluster's private address",
  DEPLOY_SUBNET_ID: "the function would be in no subnet, and not reach the cluster's private address",
  DEPLOY_MEMORY_MB: 'SCF gives a function 128 MB by default',
  DEPLOY_TIMEOUT_SECONDS: 'SCF gives a function 3 s by default',
};
/** May be set to nothing. */
const MAY_BE_EMPTY: readonly string[] = ['COS_PREFIX'];

/**
 * What the file of a stage lacks. A file that sets a `DEPLOY_*` is one; of another that has a stage's name it says only
 * what a deployment would need.
 */
export function checkDeployment(file: SettingsFile | undefined, env: Environment): CheckResult[] {
  if (file === undefined) return [];
  const item = 'deployment';
  const isForDeployment = Object.keys(file.settings).some((name) => name.startsWith('DEPLOY_'));
  if (!isForDeployment && !/^\.env\../.test(basename(file.path))) return [];
  const missing = Object.keys(NEEDED).filter(
    (name) => !env[name] && !(env[name] === '' && MAY_BE_EMPTY.includes(name)),
  );
  if (!isForDeployment) {
    const hint = 'Take the DEPLOY_* lines of .env.example before you deploy with this file.';
    return [warn(item, `the file does not set ${missing.join(', ')}, which a deployment needs`, hint)];
  }
  if (missing.length > 0) {
    return missing.map((name) => {
      const example = (VARIABLES as Record<string, { example?: string }>)[name]?.example;
      const hint = `Set ${name}${example ? `, such as ${example}` : ''}; .env.example says what it is.`;
      return fail(item, `${name} is not set: ${NEEDED[name]}`, hint);
    });
  }
  const { DEPLOY_MEMORY_MB: memory, DEPLOY_TIMEOUT_SECONDS: timeout } = env;
  return [
    ok(
      item,
      `with serverless.yml: scf deploy --stage … --inputs memorySize=${memory} timeout=${timeout}; or rule create --file`,
    ),
  ];
}
