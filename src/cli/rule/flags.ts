// The flags of `rule create` and `rule edit`: one for each field of the form, and --set for any other setting.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { BackupError } from '../../errors.ts';
import { nearest } from '../../lib/nearest.ts';
import { packageRoot } from '../../packaging/package-root.ts';
import { unknownVariables } from '../../read-settings.ts';
import {
  FIELDS,
  type FieldName,
  flagOf,
  formOfSettings,
  isEnvText,
  parseRuleYaml,
  type RuleForm,
} from '../../rules/rule-form.ts';
import { VARIABLES } from '../../settings.ts';
import { readEnvFile } from '../env-file.ts';
import { UsageError } from '../usage-error.ts';

const fieldNames = Object.keys(FIELDS) as FieldName[];

/** Flags of both commands besides the fields. */
export const CHANGE_FLAGS = {
  set: { type: 'string', multiple: true },
  file: { type: 'string', short: 'f' },
  'create-run-role': { type: 'boolean', default: false },
  'no-reserve': { type: 'boolean', default: false },
  package: { type: 'string' },
  'dry-run': { type: 'boolean', default: false },
  yes: { type: 'boolean', short: 'y', default: false },
} as const;

/** The function's zip: what --package names, or that of this package. */
export const zipPathOf = (values: { readonly package?: string | undefined }) =>
  values.package ?? join(packageRoot(import.meta.url), 'dist/function.zip');

/** A string flag for each field but those left out. */
export function fieldFlags(without: readonly FieldName[] = []): Record<string, { type: 'string' }> {
  return Object.fromEntries(
    fieldNames.filter((name) => !without.includes(name)).map((name) => [flagOf(name), { type: 'string' }]),
  );
}

/** Their lines in a help. */
export function fieldHelp(without: readonly FieldName[] = []): string {
  const shown = fieldNames.filter((name) => !without.includes(name));
  const width = Math.max(...shown.map((name) => flagOf(name).length));
  return shown.map((name) => `  --${flagOf(name).padEnd(width)}  ${FIELDS[name].what}`).join('\n');
}

/** The fields and settings that the command line gives. */
export function formOfFlags(values: Readonly<Record<string, unknown>>): RuleForm {
  const fields: Partial<Record<FieldName, string>> = {};
  for (const name of fieldNames) {
    const value = values[flagOf(name)];
    if (typeof value === 'string') fields[name] = value;
  }
  const set = Object.fromEntries(((values['set'] ?? []) as string[]).map(splitSetting));
  const fromSettings = formOfSettings(set);
  return { fields: { ...fromSettings.fields, ...fields }, settings: fromSettings.settings };
}

/** The flags that give this form, for a shell. Secrets are left out: they are not taken from the command line. */
export function flagsOfForm({ fields, settings }: RuleForm): string {
  const quoted = (text: string) =>
    /^[\w./:@,+=-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
  const flags = fieldNames.flatMap((name) => {
    const value = fields[name];
    return value === undefined ? [] : [`--${flagOf(name)} ${quoted(value)}`];
  });
  const set = Object.entries(settings).filter(([name]) => !isSecret(name));
  return [...flags, ...set.map(([name, value]) => `--set ${quoted(`${name}=${value}`)}`)].join(' ');
}

const isSecret = (name: string) => (VARIABLES as Record<string, { secret?: boolean }>)[name]?.secret === true;

function splitSetting(text: string): [string, string] {
  const [, name, value] = /^([A-Z][A-Z0-9_]*)=(.*)$/s.exec(text) ?? [];
  if (name === undefined || value === undefined) throw new UsageError(`--set ${text}: expected NAME=VALUE`);
  if (!(name in VARIABLES)) {
    const known = nearest(name, Object.keys(VARIABLES));
    throw new UsageError(`--set ${name}: there is no such setting; did you mean ${known}?`);
  }
  if (isSecret(name)) {
    throw new UsageError(
      `--set ${name}: secrets are not taken from the command line; use --tdmq-role, or a file`,
    );
  }
  return [name, value];
}

/** The form in a file. @throws BackupError `config` where it cannot be read */
export async function readRuleFile(path: string): Promise<RuleForm> {
  const text = await readFile(path, 'utf8').catch((cause: unknown) => {
    throw new BackupError('config', `the rule file ${JSON.stringify(path)} cannot be read`, {
      cause,
      hint: 'Name a rule.yml, or the .env.<stage> that `tdmq-backup rule export` writes.',
    });
  });
  if (!isEnvText(text)) return parseRuleYaml(text, path);
  const settings = readEnvFile(path);
  const faults = unknownVariables(settings);
  if (faults.length === 0) return formOfSettings(settings);
  throw new BackupError('config', `${path} has faults`, {
    faults,
    hint: 'Correct the names; .env.example has every setting.',
  });
}
