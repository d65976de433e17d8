// The files of a verification: its report as JSON and as a page, whole or not at all; and an earlier one, to compare with.
import { createHash } from 'node:crypto';
import { closeSync, openSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { basename } from 'node:path';
import { type FiledReport, verificationPage } from '../../archive/report/verification-page.ts';
import { type EarlierReport, parseEarlier } from '../../archive/verify/earlier.ts';
import { BackupError, messageOf } from '../../errors.ts';

/** Where a verification is going to be filed. */
export interface Filing {
  /** Writes both files, and gives their names. @throws BackupError `config` */
  write(report: FiledReport): string[];
  /** Leaves nothing behind that is not whole. May be repeated. */
  close(): void;
}

/**
 * `FILE.json` and `FILE.html`, whichever of them `path` names, or neither. That they can be written is known before the
 * archive is read. @throws BackupError `config`
 */
export function openFiling(path: string): Filing {
  const base = path.replace(/\.(json|html)$/, '');
  const files = { json: `${base}.json`, html: `${base}.html` };
  const partOf = (file: string) => `${file}.${process.pid}.partial`;
  const close = () => {
    for (const file of Object.values(files)) rmSync(partOf(file), { force: true });
  };
  const failed = (cause: unknown) => {
    close();
    return new BackupError('config', `the report cannot be written: ${messageOf(cause)}`, {
      hint: 'Name a file after --report that can be written.',
      cause,
    });
  };
  try {
    for (const file of Object.values(files)) closeSync(openSync(partOf(file), 'w'));
  } catch (cause) {
    throw failed(cause);
  }
  return {
    close,
    write(report) {
      const json = `${JSON.stringify(report, undefined, 1)}\n`;
      const sha256 = createHash('sha256').update(json).digest('hex');
      try {
        writeFileSync(partOf(files.json), json);
        writeFileSync(partOf(files.html), verificationPage(report, { name: basename(files.json), sha256 }));
        for (const file of Object.values(files)) renameSync(partOf(file), file);
      } catch (cause) {
        throw failed(cause);
      }
      return Object.values(files);
    },
  };
}

/** Reads the report of an earlier verification. @throws BackupError `config` */
export function readEarlier(path: string): EarlierReport {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    throw new BackupError('config', `the earlier report cannot be read: ${messageOf(cause)}`, {
      hint: 'Name the JSON file after --earlier that archive verify --report wrote.',
      cause,
    });
  }
  return parseEarlier(text, path);
}
