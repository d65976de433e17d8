// What can be found wrong with one object: what is known about it, and what was read of it, against each other.
import { RECORD_FORMAT } from '../../format/record.ts';
import type { ArchiveObject } from '../catalog/catalog.ts';
import { damage, type Finding } from '../finding.ts';
import type { Inspection } from './inspect.ts';

/** Key, size, metadata and manifest against each other. */
export function verifyFacts(
  { key, parts, sizeBytes, manifest, head }: ArchiveObject,
  knowsMetadata: boolean,
  isGone = false,
): Finding[] {
  if (isGone || (knowsMetadata && head === undefined))
    return [damage(key, 'missing', 'it was listed, and is not there any more')];
  const findings: Finding[] = [];
  if (sizeBytes === 0 && (manifest?.size ?? 0) === 0)
    findings.push(damage(key, 'size', 'it has 0 bytes: an object holds at least one record'));
  if (manifest !== undefined && manifest.size !== sizeBytes)
    findings.push(damage(key, 'size', `it has ${sizeBytes} bytes, its manifest says ${manifest.size}`));
  if (manifest?.crc64 !== undefined && head?.crc64 !== undefined && head.crc64 !== manifest.crc64)
    findings.push(
      damage(key, 'checksum', `its CRC-64 is ${head.crc64}, its manifest says ${manifest.crc64}`),
    );
  if (!knowsMetadata || head === undefined) return findings;

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

/** What was read of an object against what is known about it. */
export function verifyInspection(object: ArchiveObject, inspection: Inspection): Finding[] {
  const { key, manifest, head } = object;
  const metadata = head?.metadata ?? {};
  const findings = [...inspection.findings];
  const compare = (
    kind: Finding['kind'],
    what: string,
    found: string | number,
    ...said: [source: string, value: string | number | undefined][]
  ) => {
    for (const [source, value] of said) {
      if (value !== undefined && String(value) !== String(found))
        findings.push(damage(key, kind, `its ${what} is ${found}, ${source} says ${value}`));
    }
  };
  compare('size', 'size', inspection.sizeBytes, ['the listing', object.sizeBytes]);
  compare('checksum', 'CRC-64', inspection.crc64, ['COS', head?.crc64], ['its manifest', manifest?.crc64]);
  compare(
    'checksum',
    'SHA-256',
    inspection.sha256,
    ['its metadata', metadata['sha256']],
    ['its manifest', manifest?.sha256],
  );
  if (inspection.messages !== undefined && inspection.recordBytes !== undefined) {
    const { messages, recordBytes } = inspection;
    compare(
      'count',
      'number of messages',
      messages,
      ['its metadata', metadata['messages']],
      ['its manifest', manifest?.messages],
    );
    compare(
      'count',
      'size of records',
      recordBytes,
      ['its metadata', metadata['record-bytes']],
      ['its manifest', manifest?.recordBytes],
    );
  }
  return findings;
}
