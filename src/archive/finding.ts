// What verify finds: damage, which fails it, and notices, which a person should know of.

export type FindingKind =
  /** In a manifest, and not in the bucket. */
  | 'missing'
  | 'size'
  | 'metadata'
  | 'checksum'
  /** Ends in the middle of a record, or cannot be decompressed. */
  | 'cut'
  | 'record'
  | 'duplicate-line'
  | 'count'
  | 'range'
  /** The same message, with other content, in two objects. */
  | 'conflict'
  /** It cannot be read, was changed, or is gone. */
  | 'manifest'
  /** Acknowledged, and in no object that is there. */
  | 'lost'
  /** The subscription lost it: it was never stored. */
  | 'passed-over'
  /** Entries that no object holds, and nobody says why. */
  | 'gap'
  /** Days without an object between others. */
  | 'empty-day'
  /** Objects behind the newest manifest, which are in none. */
  | 'unlisted'
  | 'overlap'
  | 'duplicates'
  | 'unordered'
  /** An entry that is kept raw and was not recovered. */
  | 'unreadable'
  /** The object of a schema is none, or another one. */
  | 'schema'
  /** Records name a version of a schema that is not kept. */
  | 'schema-missing'
  | 'foreign';

export interface Finding {
  readonly key: string;
  readonly severity: 'damage' | 'notice';
  readonly kind: FindingKind;
  /** One sentence for a person. */
  readonly detail: string;
}

/** Something is wrong with what is stored. */
export const damage = (key: string, kind: FindingKind, detail: string): Finding => ({
  key,
  severity: 'damage',
  kind,
  detail,
});

/** Something that may be right, and should be known. */
export const notice = (key: string, kind: FindingKind, detail: string): Finding => ({
  key,
  severity: 'notice',
  kind,
  detail,
});
