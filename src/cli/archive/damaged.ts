// Handles damaged and missing objects for commands that output messages: they fail at the first one, or, on request,
// skip and name each. They never skip one silently.
import type { Catalog } from '../../archive/catalog/read-catalog.ts';
import { mayHoldMissing, type Selection } from '../../archive/catalog/selection.ts';
import type { DamagedObject } from '../../archive/read/read-messages.ts';
import { BackupError } from '../../errors.ts';
import { visibleText } from '../../lib/visible-text.ts';
import type { Terminal } from '../command.ts';
import { paint } from '../terminal/paint.ts';

const MAX_KEYS = 10;

export interface DamageWatch {
  /** Of what was gone on behind. */
  readonly damaged: DamagedObject[];
  /** Only where they are to be skipped. */
  readonly onDamaged: ((damaged: DamagedObject) => void) | undefined;
}

/**
 * Refuses a selection of which manifests name objects that are not there, unless these are to be skipped.
 * @throws BackupError `corrupt`
 */
export function expectWhole(
  { prefix, missing }: Pick<Catalog, 'prefix' | 'missing'>,
  selection: Selection,
  isSkipping: boolean,
  topic?: string,
): DamageWatch {
  const gone = missing.filter((object) => mayHoldMissing(object, selection, topic));
  const damaged = gone.map(({ key, messages }): DamagedObject => {
    const reason = `it is in a manifest, and is not there (0 of ${messages} messages)`;
    return { key, reason: `${key}: ${reason}` };
  });
  if (isSkipping) {
    // An export may read an object for each day that it has messages of.
    const keys = new Set(damaged.map(({ key }) => key));
    const onDamaged = (one: DamagedObject) => {
      if (!keys.has(one.key)) damaged.push(one);
      keys.add(one.key);
    };
    return { damaged, onDamaged };
  }
  if (damaged.length > 0) {
    const keys = damaged.slice(0, MAX_KEYS).map(({ reason }) => reason);
    const more = damaged.length > MAX_KEYS ? [`and ${damaged.length - MAX_KEYS} more`] : [];
    const what = `${damaged.length} objects of this selection are not under ${prefix || 'the folder'} any more`;
    throw new BackupError('corrupt', [what, ...keys, ...more].join(' | '), {
      hint: 'A lifecycle rule, or somebody, removed them. --skip-damaged goes on without them; archive verify reports what else is missing.',
    });
  }
  return { damaged, onDamaged: undefined };
}

/** Names what was skipped, and gives the exit code. */
export function reportDamaged(damaged: readonly DamagedObject[], terminal: Terminal): 0 | 1 {
  const { red } = paint(terminal.stderr, terminal.env);
  for (const { reason } of damaged) terminal.stderr.write(`${red('✗')} ${visibleText(reason)}\n`);
  if (damaged.length === 0) return 0;
  terminal.stderr.write(`${damaged.length} damaged objects were skipped: archive verify says more\n`);
  return 1;
}
