// A place that an archive is read from, as commands see it: a bucket's prefix or a folder.
import type { ThawRequest } from '../../cos/admin.ts';
import type { Notes, ObjectStore } from '../../ports.ts';
import type { TopicName } from '../../topic-name.ts';

/** What was typed; what is absent is in the environment. */
export interface LocationValues {
  readonly folder?: string | undefined;
  readonly bucket?: string | undefined;
  readonly region?: string | undefined;
  readonly prefix?: string | undefined;
  readonly topic?: string | undefined;
}

export interface Location {
  readonly store: ObjectStore;
  readonly prefix: string;
  readonly topic: TopicName | undefined;
  /** A copy has no metadata. */
  readonly knowsMetadata: boolean;
  readonly notes: Notes;
  /** Asks for a readable copy of an archived object; a copy of the archive has none. */
  readonly thaw?: (key: string, request: ThawRequest) => Promise<void>;
  /** For people. */
  readonly name: string;
  /** Absent for a local copy. */
  readonly place?: { readonly bucket: string; readonly region: string };
  close(): Promise<void>;
}
