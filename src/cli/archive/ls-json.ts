// What `archive ls --json` prints, and scripts may rely on: one JSON object, written as objects are listed.
import type { ArchiveObject, Surroundings } from '../../archive/catalog/catalog.ts';
import { isRecovered } from '../../archive/catalog/catalog.ts';
import type { SchemaSummary } from '../../archive/schemas/schemas.ts';
import { formatMessageId, formatTime } from '../../format/record.ts';
import type { Output } from '../terminal/output.ts';

/** Writes objects as they come; `end` what is known only then. */
export function createJsonListing(output: Output) {
  const topics = new Set<string>();
  const totals = { objects: 0, messages: 0, recordBytes: 0, unknown: 0, bytes: 0 };
  return {
    add(object: ArchiveObject): Promise<void> | undefined {
      const { topic, facts, sizeBytes } = object;
      const before = totals.objects === 0 ? '{"format":"tdmq-backup-ls/1","objects":[\n' : ',\n';
      topics.add(topic);
      totals.objects++;
      totals.messages += facts.messages ?? 0;
      totals.recordBytes += facts.recordBytes ?? 0;
      totals.bytes += sizeBytes;
      if (facts.messages === undefined) totals.unknown++;
      return output.write(`${before}${JSON.stringify(objectJson(object))}`);
    },
    async end(
      { missing, raw, foreign, badManifests }: Surroundings,
      schemas: readonly SchemaSummary[],
    ): Promise<void> {
      const rest = {
        totals: {
          topics: topics.size,
          ...totals,
          missing: missing.length,
          unreadable: raw.length,
          recovered: raw.filter(isRecovered).length,
        },
        unreadable: raw.map((one) => ({
          key: one.key,
          topic: one.topic,
          partition: one.partition,
          id: formatMessageId({ ...one.id, partition: one.partition, batchIndex: -1 }),
          size: one.sizeBytes,
          isRecovered: isRecovered(one),
        })),
        missing: missing.map(({ key }) => key),
        foreign: foreign.map(({ key }) => key),
        badManifests,
        schemas,
      };
      if (totals.objects === 0) await output.write('{"format":"tdmq-backup-ls/1","objects":[');
      await output.write(`],${JSON.stringify(rest).slice(1)}\n`);
      await output.flush();
    },
  };
}

const objectJson = ({ key, topic, parts, sizeBytes, facts }: ArchiveObject) => ({
  key,
  topic,
  partition: parts.partition,
  date: parts.date,
  messages: facts.messages ?? null,
  recordBytes: facts.recordBytes ?? null,
  size: sizeBytes,
  firstId: formatMessageId(facts.firstId),
  lastId: facts.lastId === undefined ? null : formatMessageId(facts.lastId),
  firstPublishTime: facts.firstPublishTimeMs === undefined ? null : formatTime(facts.firstPublishTimeMs),
  lastPublishTime: facts.lastPublishTimeMs === undefined ? null : formatTime(facts.lastPublishTimeMs),
});
