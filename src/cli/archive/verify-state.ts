// The state file of a verification: what was found in each object, so that the next verification need not read it again.
import { createHash } from 'node:crypto';
import { appendFileSync, closeSync, existsSync, openSync, readFileSync } from 'node:fs';
import type { ArchiveObject } from '../../archive/catalog/catalog.ts';
import type { Inspection } from '../../archive/verify/inspect.ts';
import type { VerifyLevel } from '../../archive/verify/verify.ts';
import { BackupError, messageOf } from '../../errors.ts';

/** Inspections as lines of JSON, appended as they are made, so that a killed verification has lost at most one. */
export function openState(path: string, level: VerifyLevel) {
  const failed = (cause: unknown) =>
    new BackupError('config', `the state file ${path} cannot be used: ${messageOf(cause)}`, {
      hint: 'Name a file after --state that can be written.',
      cause,
    });
  const known = new Map<string, Inspection>();
  const nameOf = ({ key, sizeBytes, lastModified }: ArchiveObject) =>
    createHash('sha256').update(`${level} ${key} ${sizeBytes} ${lastModified.getTime()}`).digest('base64');
  let file: number;
  try {
    const text = existsSync(path) ? readFileSync(path, 'utf8') : '';
    for (const line of text.split('\n')) {
      try {
        const { name, inspection } = JSON.parse(line) as { name: string; inspection: Inspection };
        known.set(name, inspection);
      } catch {
        // The last line of a killed verification may be cut.
      }
    }
    file = openSync(path, 'a');
  } catch (cause) {
    throw failed(cause);
  }
  return {
    known: (object: ArchiveObject) => known.get(nameOf(object)),
    remember(object: ArchiveObject, inspection: Inspection) {
      // What was found wrong is looked at again: it may have been mended.
      if (inspection.findings.some(({ severity }) => severity === 'damage')) return;
      try {
        appendFileSync(file, `\n${JSON.stringify({ name: nameOf(object), inspection })}`);
      } catch (cause) {
        throw failed(cause);
      }
    },
    close: () => closeSync(file),
  };
}
