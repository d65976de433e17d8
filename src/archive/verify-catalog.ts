// What can be found wrong without downloading: keys, metadata, sizes, manifests, and the ranges of ids in a partition.
import { compareEntries, formatEntry } from '../format/entry-order.ts';
import { compareMessageIds, formatMessageId, RECORD_FORMAT } from '../format/record.ts';
import type { ArchiveObject, Catalog } from './catalog.ts';
import { byPartition, isRecovered } from './catalog.ts';
import { damage, type Finding, notice } from './finding.ts';

/** The findings of a catalog whose objects were all asked for their metadata. */
export function verifyCatalog(catalog: Catalog, knowsMetadata: boolean): Finding[] {
  return [
    ...catalog.missing.map(({ key, messages }) =>
      damage(
        key,
        'missing',
        `the manifest of a run names it, with ${messages} messages, and it is not there`,
      ),
    ),
    ...catalog.badManifests.map((key) => damage(key, 'manifest', 'it is no manifest of a run')),
    ...catalog.foreign.map(({ key }) => notice(key, 'foreign', 'it is no object of this archive')),
    ...catalog.raw
      .filter((one) => !isRecovered(one))
      .map(({ key }) =>
        notice(key, 'unreadable', 'it is kept raw and in no object: archive recover tries it'),
      ),
    ...catalog.objects.flatMap((object) => verifyFacts(object, knowsMetadata)),
    ...[...byPartition(catalog.objects).values()].flatMap(verifyRanges),
  ];
}

function verifyFacts(
  { key, parts, sizeBytes, manifest, head }: ArchiveObject,
  knowsMetadata: boolean,
): Finding[] {
  const findings: Finding[] = [];
  if (manifest !== undefined && manifest.size !== sizeBytes)
    findings.push(damage(key, 'size', `it has ${sizeBytes} bytes, its manifest says ${manifest.size}`));
  if (manifest?.crc64 !== undefined && head?.crc64 !== undefined && head.crc64 !== manifest.crc64)
    findings.push(
      damage(key, 'checksum', `its CRC-64 is ${head.crc64}, its manifest says ${manifest.crc64}`),
    );
  if (!knowsMetadata) return findings;
  if (head === undefined) return [...findings, damage(key, 'missing', 'it was listed, and is not there')];

  const { metadata } = head;
  const wrong = (what: string) => findings.push(damage(key, 'metadata', what));
  if (metadata['format'] !== RECORD_FORMAT) {
    wrong(`its metadata names the format ${metadata['format'] ?? '(none)'}, not ${RECORD_FORMAT}`);
    return findings;
  }
  const { ledgerId, entryId, partition, batchIndex } = parts;
  const [ledger, entry, ownPartition, index] = (metadata['first-id'] ?? '').split(':').map(Number);
  if (
    ledger !== ledgerId ||
    entry !== entryId ||
    ownPartition !== partition ||
    Math.max(index ?? 0, 0) !== batchIndex
  )
    wrong(`its metadata says that it begins with ${metadata['first-id']}, which is not what its key says`);
  if (metadata['first-publish-time']?.includes('T') && !metadata['first-publish-time'].startsWith(parts.date))
    wrong(
      `its metadata names the first publish time ${metadata['first-publish-time']}, its key ${parts.date}`,
    );
  const bytes = metadata['record-bytes'];
  if (parts.compression === 'none' && bytes !== undefined && Number(bytes) !== sizeBytes)
    findings.push(damage(key, 'size', `it has ${sizeBytes} bytes, its metadata says ${bytes}`));
  if (manifest !== undefined) {
    for (const [name, said] of [
      ['last-id', manifest.lastId],
      ['messages', String(manifest.messages)],
      ['record-bytes', String(manifest.recordBytes)],
    ] as const) {
      const own = metadata[name];
      if (own !== undefined && own !== said) wrong(`its metadata has ${name} ${own}, its manifest ${said}`);
    }
  }
  return findings;
}

/** Objects of one partition, in order: nothing is in two of them, and of an entry that was split nothing is left out. */
function verifyRanges(objects: readonly ArchiveObject[]): Finding[] {
  const findings: Finding[] = [];
  let before: ArchiveObject | undefined;
  for (const object of objects) {
    const last = before?.facts.lastId;
    const { firstId, lastId } = object.facts;
    if (before !== undefined && last !== undefined) {
      if (compareMessageIds({ ...last, batchIndex: Math.max(0, last.batchIndex) }, firstId) >= 0) {
        // An entry that was recovered lies where the run left it out.
        if (object.isRecovered) continue;
        const detail = `it begins at ${formatMessageId(firstId)}, and ${before.key} reaches to ${formatMessageId(last)}`;
        findings.push(notice(object.key, 'overlap', detail));
      } else if (compareEntries(last, firstId) === 0 && firstId.batchIndex > last.batchIndex + 1) {
        const detail = `messages ${last.batchIndex + 1} to ${firstId.batchIndex - 1} of entry ${formatEntry(firstId)} are in no object`;
        findings.push(notice(object.key, 'gap', detail));
      }
    }
    const reaches =
      last === undefined || lastId === undefined || compareMessageIds(lastId, last) > 0 ? object : before;
    before = reaches;
  }
  return findings;
}
