// The decoding of `archive cat --decode`: loads the decoders only for it, and reports values that they could not
// decode.

import type { Selection } from '../../archive/catalog/selection.ts';
import type { StoredMessage } from '../../archive/read/read-messages.ts';
import { openSchemas } from '../../archive/schemas/schemas.ts';
import type { CallOptions, ObjectStore } from '../../ports.ts';
import type { Terminal } from '../command.ts';

/** Decodes messages on their way from the archive to the output. */
export interface Decoding {
  /** The selection without what looks into values. */
  readonly readSelection: Selection;
  decode(messages: AsyncIterable<StoredMessage>): AsyncIterable<StoredMessage>;
  /** Says on stderr what is not decoded; gives the exit code. */
  report(terminal: Terminal): number;
}

/** Opens the schemas of an archive, to decode what is selected of it. */
export async function openDecoding(
  store: ObjectStore,
  prefix: string,
  selection: Selection,
  call: CallOptions,
): Promise<Decoding> {
  const { decodeMessages, noCounts } = await import('../../archive/decode/decode-messages.ts');
  const { texts, valuePaths, ...readSelection } = selection;
  const schemas = openSchemas(store, prefix, call);
  const counts = noCounts();
  return {
    readSelection,
    decode: (messages) => decodeMessages(messages, schemas, { texts, valuePaths }, counts),
    report({ stderr }) {
      const { failed, missing, withoutSchema, firstError } = counts;
      if (withoutSchema > 0) stderr.write(`not decoded: ${records(withoutSchema)} without a schema\n`);
      if (failed === 0) return 0;
      stderr.write(
        `not decoded: ${records(failed)}, of which decodeError says why; the first: ${firstError}\n`,
      );
      if (missing > 0) stderr.write(`${MISSING_HINT}\n`);
      return 1;
    },
  };
}

const MISSING_HINT =
  'Runs of earlier versions kept no schemas: tdmq-backup archive schemas fetch stores what the broker still has.';

const records = (count: number): string => `${count.toLocaleString('en-US')} record${count === 1 ? '' : 's'}`;
