// The schemas of the broker's topics, each version as a client brought it. Nothing is compatible or incompatible here.
import type { Fields } from '../../pulsar/wire/protocol/codec.ts';
import { SCHEMA_TYPE } from '../../pulsar/wire/protocol/tables.ts';

export type StoredSchema = Fields<'Schema'>;

/** The schemas by topic; one for all partitions. */
export class Schemas {
  readonly #topics = new Map<string, StoredSchema[]>();

  /** The version of a schema, which is new where no client has brought it. `undefined`: bytes have no schema. */
  register(topic: string, schema: StoredSchema | undefined): Buffer | undefined {
    if (schema === undefined || (schema.type ?? SCHEMA_TYPE.NONE) === SCHEMA_TYPE.NONE) return undefined;
    const versions = this.#topics.get(baseOf(topic)) ?? [];
    this.#topics.set(baseOf(topic), versions);
    const known = versions.findIndex((one) => contentOf(one) === contentOf(schema));
    return versionOf(known >= 0 ? known : versions.push({ ...schema, name: baseOf(topic) }) - 1);
  }

  /** Without a version: the last one. */
  find(topic: string, version: Uint8Array | undefined): StoredSchema | undefined {
    if (version === undefined) return this.#topics.get(baseOf(topic))?.at(-1);
    const number = version.length === 8 ? Number(Buffer.from(version).readBigUInt64BE()) : -1;
    return this.#topics.get(baseOf(topic))?.[number];
  }

  /** Forgets the schemas of a topic, as its deletion does. */
  delete(topic: string): void {
    this.#topics.delete(baseOf(topic));
  }
}

/** As Pulsar names a topic's schemas. */
const baseOf = (topic: string) => topic.replace(/^persistent:\/\//, '').replace(/-partition-\d+$/, '');

const contentOf = ({ type, schemaData = new Uint8Array() }: StoredSchema) =>
  `${type} ${Buffer.from(schemaData).toString('base64')}`;

function versionOf(number: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(number));
  return bytes;
}
