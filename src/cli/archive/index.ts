// `tdmq-backup archive index`: writes down what is in objects that no run's manifest knows.

import { indexArchive } from '../../archive/repair/index-archive.ts';
import { systemClock } from '../../lib/clock.ts';
import { visibleText } from '../../lib/visible-text.ts';
import type { Command } from '../command.ts';
import { parseArgs } from '../parse-args.ts';
import { paint } from '../terminal/paint.ts';
import { startProgress } from '../terminal/progress.ts';
import { LOCATION_HELP, LOCATION_OPTIONS, manifestRule, numberOption, openLocation } from './location.ts';

export const command: Command = {
  summary: 'write the manifest that a killed run could not',
  help: `
Usage: tdmq-backup archive index [options]

Reads the objects that no manifest lists (their run was killed before it could write one), and writes a manifest for
them: from then on archive ls shows their counts and ends, and archive verify reports them when they are missing. Damaged
objects are left out, and make the exit code 1. Changes nothing that exists.

  --rule NAME      for objects without a rule in their metadata; by default RULE_NAME, else archive
  --parallel N     objects at a time; 4 by default
  --json           what was done, as JSON
${LOCATION_HELP}

Example:
  tdmq-backup archive index --env-file .env.orders
`,
  endsWithinMs: 500,
  async run(args, terminal) {
    const { values } = parseArgs({
      args: [...args],
      options: {
        ...LOCATION_OPTIONS,
        rule: { type: 'string' },
        parallel: { type: 'string', default: '4' },
        json: { type: 'boolean', default: false },
      },
    });
    const parallel = numberOption('--parallel', values.parallel, 1, 64);
    const rule = manifestRule(values.rule, terminal.env);
    const location = await openLocation(values, terminal, parallel);
    try {
      const progress = startProgress(terminal.stderr);
      progress.update('listing the archive');
      const result = await indexArchive(location.store, location.prefix, {
        topic: location.topic,
        knowsMetadata: location.knowsMetadata,
        signal: terminal.signal,
        clock: systemClock,
        rule,
        parallel,
        onProgress: (done, total) => progress.update(`${done} of ${total} objects read`),
      }).finally(progress.clear);
      const { red, green } = paint(terminal.stdout, terminal.env);
      if (values.json) terminal.stdout.write(`${JSON.stringify(result)}\n`);
      else {
        for (const { key, kind, detail } of result.findings)
          terminal.stdout.write(`${red('✗')} ${visibleText(key)}\n    ${kind}: ${visibleText(detail)}\n`);
        for (const key of result.manifests) terminal.stdout.write(`${visibleText(key)}\n`);
        terminal.stdout.write(
          `${green('✓')} ${result.objects} objects with ${result.messages} messages indexed\n`,
        );
      }
      return result.findings.length > 0 ? 1 : 0;
    } finally {
      await location.close();
    }
  },
};
