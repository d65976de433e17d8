// Kept schemas for tests of the decoders.
import { type KeptSchema, keepSchema } from '../../../src/format/kept-schema.ts';

/** A schema of the type, with a definition as its client would register it. */
export function schemaOf(
  type: string,
  definition: string | Uint8Array | object = '',
  properties: Readonly<Record<string, string>> = {},
): KeptSchema {
  const bytes =
    definition instanceof Uint8Array
      ? definition
      : Buffer.from(typeof definition === 'string' ? definition : JSON.stringify(definition));
  return keepSchema({ tenant: 't', namespace: 'ns', topic: 'orders' }, Buffer.alloc(8), {
    type,
    name: 'orders',
    properties: Object.entries(properties),
    definition: bytes,
  });
}
