// A memory store's archive as a folder, as somebody has copied it.
import { mkdirSync, utimesSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { MemoryStore } from '../fakes/memory-store.ts';
import { PREFIX } from './archive-fixture.ts';

/** Writes the objects under `folder`; `modified` is the time that the files get, by default that of writing them. */
export function writeCopy(store: MemoryStore, folder: string, modified?: (key: string) => Date): void {
  for (const [key, { bytes }] of store.objects) {
    const path = join(folder, key.slice(PREFIX.length));
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, bytes);
    if (modified !== undefined) utimesSync(path, modified(key), modified(key));
  }
}
