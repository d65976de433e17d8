// The environment of a rule, as the function would have it, from a person's shell or .env file.
import type { Environment } from '../config.ts';

/** What SCF calls the keys in a function, and what the rest of Tencent Cloud's tools call them. */
const KEY_NAMES = {
  TENCENTCLOUD_SECRETID: 'TENCENTCLOUD_SECRET_ID',
  TENCENTCLOUD_SECRETKEY: 'TENCENTCLOUD_SECRET_KEY',
  TENCENTCLOUD_SESSIONTOKEN: 'TENCENTCLOUD_TOKEN',
} as const;

/** `env` with the API keys under the names that SCF gives them, whichever of the two sets is there. */
export function ruleEnvironment(env: Environment): Environment {
  if (env['TENCENTCLOUD_SECRETID']) return env;
  const keys = Object.entries(KEY_NAMES).map(([name, usual]) => [name, env[usual]]);
  return { ...env, ...Object.fromEntries(keys) };
}
