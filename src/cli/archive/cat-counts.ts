// `archive cat --count` and `--count-by`: how many records there are, instead of the records.
import { countBy, type Group, type GroupBy, type Recorded } from '../../archive/read/message-groups.ts';
import { visibleText } from '../../lib/visible-text.ts';
import type { Output } from '../terminal/output.ts';
import { UsageError } from '../usage-error.ts';

const COUNT_WIDTH = 9;
const NO_PARTITION = -1;

/** What `--count-by` names. @throws UsageError */
export function groupByOption(text: string): GroupBy {
  if (text === 'key' || text === 'partition' || text === 'hour') return { kind: text };
  const name = /^property:(.+)$/s.exec(text)?.[1];
  if (name !== undefined) return { kind: 'property', name };
  throw new UsageError('--count-by must be key, partition, hour or property:NAME');
}

/** Prints how many there are, and gives it; of none nothing is printed as JSON, since then the failure is. */
export async function printCount(
  messages: AsyncIterable<Recorded>,
  output: Output,
  isJson: boolean,
): Promise<number> {
  let count = 0;
  for await (const _ of messages) count++;
  if (!isJson) await output.write(`${count}\n`);
  else if (count > 0)
    await output.write(`${JSON.stringify({ format: 'tdmq-backup-count/1', messages: count })}\n`);
  await output.flush();
  return count;
}

/** Prints how many there are of each group, and gives how many there are together. */
export async function printCounts(
  messages: AsyncIterable<Recorded>,
  by: GroupBy,
  output: Output,
  isJson: boolean,
): Promise<number> {
  let total = 0;
  const name = by.kind === 'property' ? `property:${by.name}` : by.kind;
  const head = `{"format":"tdmq-backup-count/1","by":${JSON.stringify(name)},"groups":[\n`;
  for await (const { group, messages: count } of countBy(messages, by)) {
    const before = total === 0 ? head : ',\n';
    total += count;
    const text = isJson
      ? `${before}${JSON.stringify({ ...groupJson(group, by.kind), messages: count })}`
      : `${String(count).padStart(COUNT_WIDTH)} ${groupText(group, by.kind)}\n`;
    const writing = output.write(text);
    if (writing !== undefined) await writing;
    if (output.isGone) return total;
  }
  if (isJson && total > 0) await output.write(`],"messages":${total}}\n`);
  await output.flush();
  return total;
}

const groupJson = (group: Group, kind: GroupBy['kind']) =>
  group === undefined || typeof group === 'string' || typeof group === 'number'
    ? { [kind]: group ?? null }
    : { [`${kind}Base64`]: Buffer.from(group).toString('base64') };

function groupText(group: Group, kind: GroupBy['kind']): string {
  if (group === undefined) return kind === 'hour' ? '(no date)' : `(no ${kind})`;
  if (group === NO_PARTITION) return 'none';
  if (typeof group === 'number') return String(group);
  return typeof group === 'string' ? visibleText(group) : `(binary) ${Buffer.from(group).toString('base64')}`;
}
