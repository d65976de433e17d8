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
  | 'manifest'
  /** Entries between two objects that no object holds. */
  | 'gap'
  | 'overlap'
  | 'duplicates'
  | 'unordered'
  /** An entry that is kept raw and was not recovered. */
  | 'unreadable'
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
