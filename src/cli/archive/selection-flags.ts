// The filters of commands that select messages as options.
import type { Selection } from '../../archive/catalog/selection.ts';
import { parseValuePath } from '../../archive/read/value-path.ts';
import { compareMessageIds, parseMessageId } from '../../format/record.ts';
import { timeOption } from '../time-option.ts';
import { UsageError } from '../usage-error.ts';
import { numberOption } from './location.ts';

/** As parseArgs wants them. */
export const SELECTION_OPTIONS = {
  from: { type: 'string' },
  until: { type: 'string' },
  'from-id': { type: 'string' },
  'until-id': { type: 'string' },
  partition: { type: 'string', multiple: true },
  key: { type: 'string' },
  property: { type: 'string', multiple: true },
  grep: { type: 'string', multiple: true },
  'value-path': { type: 'string', multiple: true },
  'stored-until': { type: 'string' },
} as const;

export const SELECTION_HELP = `  --from TIME      published at this time or later: 2026-11-23, or 2026-11-23T23:21:41.123Z
  --until TIME     published before this time; times without a zone are UTC
  --from-id ID     from this message on: ledger:entry:partition:batchIndex as records have it, or ledger:entry; ids order
                   the messages of one partition, so an id with a partition means that partition alone
  --until-id ID    up to this message, included
  --partition N    one partition; may be repeated; none for a topic without partitions
  --key KEY        messages with this key
  --property N=V   messages with this property; may be repeated, then all have to fit
  --grep TEXT      messages that have this text in their value, key or a property, upper and lower case distinguished;
                   in what is no text, its UTF-8 bytes; may be repeated, then all have to fit
  --value-path P=V  messages whose value is JSON with V at the path P: customer.id=7, lines.0.sku=A-1 (an element of an
                   array), lines.sku=A-1 (any element); \\. \\= \\\\ are part of a name. V is a text, a number with all of
                   its digits, true, false or null; in quotes ("7") only the text. May be repeated, then all have to fit
  --stored-until TIME  messages in objects that were stored by this time: "what did we have at 14:05?". That is the time
                   that COS has of an object; of a copy, the end of the run where a manifest has it`;

export interface SelectionValues {
  readonly from?: string | undefined;
  readonly until?: string | undefined;
  readonly 'from-id'?: string | undefined;
  readonly 'until-id'?: string | undefined;
  readonly partition?: string[] | undefined;
  readonly key?: string | undefined;
  readonly property?: string[] | undefined;
  readonly grep?: string[] | undefined;
  readonly 'value-path'?: string[] | undefined;
  readonly 'stored-until'?: string | undefined;
}

/** The selection that the options mean. @throws UsageError */
export function parseSelection(values: SelectionValues): Selection {
  const fromId = idOption('--from-id', values['from-id'], -1);
  const toId = idOption('--until-id', values['until-id'], Number.MAX_SAFE_INTEGER);
  const named = values.partition?.map((text) =>
    text === 'none' ? -1 : numberOption('--partition', text, 0, 1_000_000),
  );
  const byIds = [...new Set([fromId, toId].map((id) => id?.partition ?? -1))].filter((one) => one >= 0);
  const [partition] = byIds;
  if (byIds.length > 1 || (partition !== undefined && named !== undefined && !named.includes(partition)))
    throw new UsageError('--from-id, --until-id and --partition name different partitions');
  const fromMs = timeOption('--from', values.from);
  const toMs = timeOption('--until', values.until);
  const isNothingBetween = fromMs !== undefined && toMs !== undefined && fromMs >= toMs;
  if (isNothingBetween) throw new UsageError('--from has to be before --until: no message is between them');
  if (fromId !== undefined && toId !== undefined && compareMessageIds(fromId, toId) > 0)
    throw new UsageError('--from-id is behind --until-id: no message is between them');
  if (values.grep?.includes('')) throw new UsageError('--grep must be a text that is not empty');
  return {
    fromMs,
    toMs,
    fromId,
    toId,
    storedUntilMs: timeOption('--stored-until', values['stored-until']),
    texts: values.grep,
    valuePaths: values['value-path']?.map((text) => {
      const path = parseValuePath(text);
      if (path === undefined) throw new UsageError('--value-path must be path=value, such as customer.id=7');
      return path;
    }),
    partitions: partition === undefined ? named : [partition],
    key: values.key,
    properties: values.property?.map((text) => {
      const at = text.indexOf('=');
      if (at < 1) throw new UsageError('--property must be name=value');
      return [text.slice(0, at), text.slice(at + 1)] as const;
    }),
  };
}

/** An entry alone means all of its messages. */
function idOption(name: string, text: string | undefined, batchIndex: number) {
  if (text === undefined) return undefined;
  const id = /^\d+:\d+$/.test(text)
    ? { ...parseEntry(text), partition: -1, batchIndex }
    : parseMessageId(text);
  if (id === undefined) throw new UsageError(`${name} must be a message id such as 12:7:0:3, or 12:7`);
  return id;
}

function parseEntry(text: string) {
  const [ledgerId, entryId] = text.split(':').map(Number) as [number, number];
  return { ledgerId, entryId };
}
