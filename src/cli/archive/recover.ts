// `tdmq-backup archive recover`: decodes what was kept raw, and says what cannot be.
import { readFile } from 'node:fs/promises';
import { totalmem } from 'node:os';
import { type RecoverResult, recoverArchive } from '../../archive/repair/recover.ts';
import { BackupError, messageOf } from '../../errors.ts';
import { COMPRESSIONS } from '../../format/object-key.ts';
import { systemClock } from '../../lib/clock.ts';
import { visibleText } from '../../lib/visible-text.ts';
import { createDecrypt, type Decrypt } from '../../pulsar/wire/protocol/decrypt.ts';
import type { Command, Terminal } from '../command.ts';
import { parseArgs } from '../parse-args.ts';
import { paint } from '../terminal/paint.ts';
import { startProgress } from '../terminal/progress.ts';
import { UsageError } from '../usage-error.ts';
import { LOCATION_HELP, LOCATION_OPTIONS, manifestRule, numberOption, openLocation } from './location.ts';

/** Of the machine's memory, for one message: it is there as chunks, as a whole, decompressed and as a record. */
const MEMORY_SHARE = 8;

export const command: Command = {
  summary: 'decode what was kept raw, and store its messages',
  help: `
Usage: tdmq-backup archive recover [--private-key FILE] [--dry-run] [options]

Tries every entry under _unreadable/ with the decoder of this version, and stores the messages of those that it can read
as ordinary objects: one for each entry, under the key of its first message. Joins chunks that were kept separately. The raw
bytes stay. Replaces nothing: messages that are already in an object are reported as such. A manifest under _runs/
records what was recovered, so a second call has nothing to do; after a kill, run it again.

The exit code is 0 if no unrecovered raw entry is left, else 1; the remaining ones are listed with the reason.

  --private-key FILE  decrypt entries that their producer encrypted: a PEM file with the consumers' RSA key
  --dry-run           only report what would be stored
  --compression C     none, gzip or zstd; by default FILE_COMPRESSION, else none
  --rule NAME         for entries without a rule in their metadata; by default RULE_NAME, else archive
  --parallel N        entries at a time; 4 by default
  --json              the outcome of each entry, as JSON
${LOCATION_HELP}

Examples:
  tdmq-backup archive recover --env-file .env.orders --dry-run
  tdmq-backup archive recover --env-file .env.orders --private-key consumer.pem
`,
  endsWithinMs: 500,
  async run(args, terminal) {
    const { values } = parseArgs({
      args: [...args],
      options: {
        ...LOCATION_OPTIONS,
        'private-key': { type: 'string' },
        'dry-run': { type: 'boolean', default: false },
        compression: { type: 'string' },
        rule: { type: 'string' },
        parallel: { type: 'string', default: '4' },
        json: { type: 'boolean', default: false },
      },
    });
    const parallel = numberOption('--parallel', values.parallel, 1, 64);
    const rule = manifestRule(values.rule, terminal.env);
    const wanted = values.compression ?? (terminal.env['FILE_COMPRESSION'] || 'none');
    const compression = COMPRESSIONS.find((one) => one === wanted);
    if (compression === undefined)
      throw new UsageError(`--compression must be one of ${COMPRESSIONS.join(', ')}`);
    const file = values['private-key'];
    const decrypt = file === undefined ? undefined : await readDecrypt(file);
    const isDry = values['dry-run'];
    const location = await openLocation(values, terminal, parallel);
    const progress = startProgress(terminal.stderr);
    progress.update('listing the archive');
    try {
      const result = await recoverArchive(location.store, location.prefix, {
        topic: location.topic,
        knowsMetadata: location.knowsMetadata,
        limitBytes: Math.floor(totalmem() / MEMORY_SHARE),
        decrypt,
        rule,
        compression,
        isDry,
        parallel,
        clock: systemClock,
        signal: terminal.signal,
        onProgress: (done, total) => progress.update(`${done} of ${total} raw entries tried`),
      }).finally(progress.clear);
      if (values.json) terminal.stdout.write(`${JSON.stringify(asJson(result, isDry))}\n`);
      else print(result, isDry, terminal);
      return result.outcomes.some(({ outcome }) => outcome === 'remaining') ? 1 : 0;
    } finally {
      await location.close();
    }
  },
};

async function readDecrypt(file: string): Promise<Decrypt> {
  try {
    return createDecrypt(await readFile(file), file);
  } catch (cause) {
    if (cause instanceof BackupError) throw cause;
    throw new BackupError('config', `${file} cannot be read: ${messageOf(cause)}`, {
      hint: 'Name a PEM file after --private-key.',
      cause,
    });
  }
}

function countsOf({ raw, recoveredBefore, outcomes }: RecoverResult) {
  const of = (wanted: string) => outcomes.filter(({ outcome }) => outcome === wanted);
  const recovered = of('recovered');
  return {
    raw,
    recovered: recovered.length,
    alreadyRecovered: recoveredBefore + of('already').length,
    remaining: of('remaining').length,
  };
}

const asJson = (result: RecoverResult, isDryRun: boolean) => ({
  format: 'tdmq-backup-recover/1',
  isDryRun,
  ...countsOf(result),
  entries: result.outcomes,
  manifests: result.manifests,
});

function print(result: RecoverResult, isDry: boolean, terminal: Terminal): void {
  const { red, green, yellow } = paint(terminal.stdout, terminal.env);
  const say = (text: string) => terminal.stdout.write(`${text}\n`);
  for (const { key, outcome, messages, objects, reason } of result.outcomes) {
    if (outcome === 'remaining') say(`${red('✗')} ${visibleText(key)}\n    ${visibleText(reason ?? '')}`);
    else if (outcome === 'already') say(`${green('✓')} ${key}\n    already recovered: ${objects.join(', ')}`);
    else
      say(
        `${green('✓')} ${key}\n    ${messages} messages${objects.length > 0 ? ` in ${objects.join(', ')}` : ''}`,
      );
  }
  const { raw, recovered, alreadyRecovered, remaining } = countsOf(result);
  if (raw === 0) say('There are no raw entries.');
  else {
    const what = `${recovered} of ${raw} raw entries ${isDry ? 'can be recovered' : 'recovered'}, ${alreadyRecovered} already recovered, ${remaining} left`;
    say(`${remaining > 0 ? yellow('⚠') : green('✓')} ${what}`);
  }
}
