// `tdmq-backup archive index`: writes down what is in objects that no run's manifest knows.
import { parseArgs } from 'node:util';
import { indexArchive } from '../../archive/index-archive.ts';
import { systemClock } from '../../lib/clock.ts';
import type { Command } from '../command.ts';
import { paint } from '../terminal/paint.ts';
import { startProgress } from '../terminal/progress.ts';
import { UsageError } from '../usage-error.ts';
import { numberOption, openPlace, PLACE_HELP, PLACE_OPTIONS } from './location.ts';

export const command: Command = {
  summary: 'write the manifest that a killed run could not',
  help: `
Usage: tdmq-backup archive index [options]

Reads the objects that no run's manifest knows (their run was killed before it could write it), and writes a manifest
with what is in them: from then on archive ls tells their counts and ends, and archive verify misses them when they are
gone. Damaged objects are left out, and make the exit code 1. Changes nothing that exists.

  --rule NAME      for objects whose metadata names no rule; by default RULE_NAME, else archive
  --parallel N     objects at a time; 4 by default
  --json           what was done, as JSON
${PLACE_HELP}

Example:
  tdmq-backup archive index --env-file .env.orders
`,
  async run(args, io) {
    const { values } = parseArgs({
      args: [...args],
      options: {
        ...PLACE_OPTIONS,
        rule: { type: 'string' },
        parallel: { type: 'string', default: '4' },
        json: { type: 'boolean', default: false },
      },
    });
    const parallel = numberOption('--parallel', values.parallel, 1, 64);
    const rule = values.rule ?? (io.env['RULE_NAME'] || 'archive');
    if (!/^[\w-]{2,60}$/.test(rule)) throw new UsageError('--rule must be letters, digits, - or _');
    const place = await openPlace(values, io, parallel);
    try {
      const progress = startProgress(io.stderr);
      const result = await indexArchive(place.store, place.prefix, {
        topic: place.topic,
        knowsMetadata: place.knowsMetadata,
        signal: io.signal,
        clock: systemClock,
        rule,
        parallel,
        onProgress: (done, total) => progress.update(`${done} of ${total} objects read`),
      }).finally(progress.clear);
      const { red, green } = paint(io.stdout, io.env);
      if (values.json) io.stdout.write(`${JSON.stringify(result)}\n`);
      else {
        for (const { key, kind, detail } of result.findings)
          io.stdout.write(`${red('✗')} ${key}\n    ${kind}: ${detail}\n`);
        for (const key of result.manifests) io.stdout.write(`${key}\n`);
        io.stdout.write(`${green('✓')} ${result.objects} objects with ${result.messages} messages indexed\n`);
      }
      return result.findings.length > 0 ? 1 : 0;
    } finally {
      await place.close();
    }
  },
};
