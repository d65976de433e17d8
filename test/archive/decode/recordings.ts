// The recorded values with their schemas. See test/fixtures/schemas/README.md.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { createDecoder, type Decoded, type Decoder } from '../../../src/archive/decode/decoder.ts';
import { type JsonValue, parseJson } from '../../../src/archive/decode/json-value.ts';
import { schemaOf } from './schemas.ts';

/** A message with a schema, and what Java reads of it: `key` of pairs, and `value`. */
export interface RecordedValue {
  readonly topic: string;
  /** Base64. */
  readonly version: string;
  readonly type: string;
  readonly decoder: Decoder;
  readonly key: Buffer | undefined;
  readonly payload: Buffer | null;
  readonly typed?: RecordedContent | null;
  readonly generic: RecordedContent | null;
}

/** A value, and the key of a pair. */
export type RecordedContent = Omit<Decoded<JsonValue>, 'kind'>;

interface Line {
  readonly topic: string;
  readonly version: string;
  readonly schema: {
    readonly type: string;
    readonly definition: string;
    readonly properties: Readonly<Record<string, string>>;
  } | null;
  readonly key?: string;
  readonly payload: string | null;
  readonly typed?: RecordedContent | null;
  readonly generic: RecordedContent | null;
}

/** All that have a schema: a broker keeps none for bytes. */
export const RECORDED: readonly RecordedValue[] = ['java', 'python'].flatMap((client) => {
  const file = join(import.meta.dirname, `../../fixtures/schemas/${client}.jsonl.gz`);
  const lines = gunzipSync(readFileSync(file)).toString().trimEnd().split('\n');
  return lines.flatMap((text) => {
    const { schema, key, payload, ...line } = parseJson(text) as unknown as Line;
    if (schema === null) return [];
    const { type, definition, properties } = schema;
    const decoder = createDecoder(schemaOf(type, Buffer.from(definition, 'base64'), properties));
    return {
      ...{ ...line, type, decoder },
      key: key === undefined ? undefined : Buffer.from(key, 'base64'),
      payload: payload === null ? null : Buffer.from(payload, 'base64'),
    };
  });
});
