// The environment of a rule, as the function would have it, from a person's shell or .env file.
import type { Environment } from '../../read-settings.ts';
import { findCredentials } from '../../rules/credentials.ts';
import type { Terminal } from '../command.ts';

/**
 * The environment with API keys under the names that SCF gives them. A person's may have the usual names, be in the
 * Tencent CLI's profile, or come from the role of the CVM. Where there are none, the settings will say so.
 */
export async function ruleEnvironment({ env, signal }: Terminal): Promise<Environment> {
  if (env['TENCENTCLOUD_SECRETID']) return env;
  try {
    const { credentials } = await findCredentials({ env, signal });
    return {
      ...env,
      TENCENTCLOUD_SECRETID: credentials.secretId,
      TENCENTCLOUD_SECRETKEY: credentials.secretKey.reveal(),
      TENCENTCLOUD_SESSIONTOKEN: credentials.sessionToken?.reveal(),
    };
  } catch {
    return env;
  }
}
