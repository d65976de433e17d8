// `tdmq-backup rule export`: a deployed rule as the .env.<stage> of the Serverless Framework, or as a Terraform file.
import { rename, rm, writeFile } from 'node:fs/promises';
import { BackupError } from '../../errors.ts';
import { findRule, type Rule } from '../../rules/rule.ts';
import { formatEnvFile } from '../../rules/rule-form.ts';
import { formatTerraform, readLimits } from '../../rules/terraform.ts';
import { VARIABLES } from '../../settings.ts';
import type { Command } from '../command.ts';
import { UsageError } from '../usage-error.ts';
import { COMMON_HELP, openAccount, parseOneName } from './context.ts';

export const command: Command = {
  summary: 'write it as .env.<stage> for the Serverless Framework, or for Terraform',
  help: `
Usage: tdmq-backup rule export NAME [--format env|terraform] [--out FILE] [--force]

Writes .env.NAME with every variable that serverless.yml reads. \`rule create --file\` reads it back too. Where the
function holds a role key, the file holds it as well: it is written for its owner alone (mode 600), never to stdout.

With --format terraform it writes NAME.tf.json: function, timers, retries and reserved concurrency for the provider
tencentcloud, with import blocks for what is deployed. Secrets are sensitive variables; the file does not contain them.

  --format HOW  env (the default) or terraform
  --out FILE    the file; by default .env.NAME, or NAME.tf.json
  --force       writes over a file that exists
${COMMON_HELP}

Examples:
  tdmq-backup rule export orders-backup
  tdmq-backup rule export orders-backup --out .env.prod
  tdmq-backup rule export orders-backup --format terraform
`,
  isForPrograms: true,
  async run(args, terminal) {
    const { values, name } = parseOneName(args, {
      format: { type: 'string', default: 'env' },
      out: { type: 'string' },
      force: { type: 'boolean', default: false },
    });
    if (values.format !== 'env' && values.format !== 'terraform')
      throw new UsageError(`--format ${values.format}: expected env or terraform`);
    const { cloud } = await openAccount(values, terminal);
    const rule = await findRule(cloud, name);
    if (values.format === 'terraform') {
      const { text, secrets } = formatTerraform(rule, await readLimits(cloud, rule));
      const path = values.out ?? `${rule.name}.tf.json`;
      await writeForOwner(path, text, values.force);
      const variables = secrets.length === 0 ? '' : `; ${secrets.join(', ')} became a sensitive variable`;
      terminal.stdout.write(
        values.json
          ? `${JSON.stringify({ rule: rule.name, path, holdsKey: false, secrets })}\n`
          : `${path} is written${variables}. Its first lines say what Terraform does not set.\n`,
      );
      return 0;
    }
    const path = values.out ?? `.env.${rule.name}`;
    await writeForOwner(path, formatEnvFile(rule), values.force);
    const holdsKey = holdsSecret(rule);
    terminal.stdout.write(
      values.json
        ? `${JSON.stringify({ rule: rule.name, path, holdsKey })}\n`
        : `${path} is written${holdsKey ? '; it holds the role key, so keep it out of version control' : ''}.\n`,
    );
    return 0;
  },
};

const holdsSecret = (rule: Rule): boolean =>
  Object.entries(VARIABLES).some(
    ([variable, one]) => 'secret' in one && one.secret && rule.environment[variable] !== undefined,
  );

/** Whole or not at all, and for its owner alone, whoever could read the file that it replaces. */
async function writeForOwner(path: string, text: string, isReplacing: boolean): Promise<void> {
  const draft = isReplacing ? `${path}.${process.pid}.new` : path;
  try {
    await writeFile(draft, text, { mode: 0o600, flag: 'wx' });
    if (isReplacing) await rename(draft, path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (isReplacing) await rm(draft, { force: true });
    throw new BackupError('rule', `${path} cannot be written (${code})`, {
      cause: error,
      hint: code === 'EEXIST' ? 'Pass --force to write over it.' : 'Name another file with --out.',
    });
  }
}
