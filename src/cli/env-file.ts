// The file that `--env-file` names, as settings. A missing setting is dangerous (without COS_PREFIX, objects go into
// the bucket's root), so it refuses a file with any line that it does not understand.
import { readFileSync } from 'node:fs';
import { parseEnv } from 'node:util';
import { BackupError } from '../errors.ts';
import type { Environment } from '../read-settings.ts';

/** A blank line, a comment, or `[export ]NAME=value`; a quoted value may go over several lines. */
const LINE =
  /[ \t]*(?:(?:export[ \t]+)?([A-Za-z_][\w.-]*)[ \t]*=[ \t]*("[^"]*"|'[^']*'|`[^`]*`|)([^\n]*)|(?:#[^\n]*)?)(?:\n|$)/y;

/** Reads the settings of the file; drops a byte order mark. @throws BackupError `config` that names the line, and never its value */
export function readEnvFile(path: string): Environment {
  const fault = (what: string, hint: string, cause?: unknown) =>
    new BackupError('config', `the settings file ${JSON.stringify(path)} ${what}`, { hint, cause });
  let bytes: Buffer;
  try {
    bytes = readFileSync(path);
  } catch (cause) {
    throw fault(
      'cannot be read',
      'Name an existing file after --env-file; .env.example shows its lines.',
      cause,
    );
  }
  if (bytes.includes(0)) throw fault('is no UTF-8 text (it looks like UTF-16)', SAVE_AS_UTF8);
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes).replaceAll(/\r\n?/g, '\n');
  } catch (cause) {
    throw fault('is no UTF-8 text', SAVE_AS_UTF8, cause);
  }
  const seen = new Map<string, { line: number; value: string }>();
  LINE.lastIndex = 0;
  for (let line = 1; LINE.lastIndex < text.length; ) {
    const start = LINE.lastIndex;
    const match = LINE.exec(text);
    const [whole = '', name, quoted = '', rest = ''] = match ?? [];
    if (match === null) throw fault(`has no setting in line ${line}`, AS_SETTING);
    if (name !== undefined) {
      const isOpen = quoted === '' ? /^["'`]/.test(rest) : !/^\s*(#.*)?$/.test(rest);
      if (isOpen) throw fault(`has a quote in line ${line} that does not end the value`, AS_SETTING);
      const value = quoted || rest.replace(/#.*/, '').trim();
      const other = seen.get(name);
      if (other !== undefined && other.value !== value)
        throw fault(`sets ${name} twice, in line ${other.line} and in line ${line}`, 'Keep one of the two.');
      seen.set(name, { line, value });
    }
    line += whole.split('\n').length - 1;
    if (LINE.lastIndex === start) break;
  }
  return parseEnv(text) as Environment;
}

const SAVE_AS_UTF8 = 'Save the file as UTF-8; .env.example shows its lines.';
const AS_SETTING =
  'Each line is NAME=value, export NAME=value, a comment (#), or empty; quote a value that has a # or quotes in it. .env.example shows it.';
