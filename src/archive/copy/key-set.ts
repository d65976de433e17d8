// A set of very many keys, in nine bytes each. It cannot return the keys.
import { createHash } from 'node:crypto';

/** A set of keys that are added first and taken out later, each as often as it is asked for. */
export interface KeySet {
  add(key: string): void;
  /** Whether the key was added; it counts as taken then. */
  take(key: string): boolean;
  isTaken(key: string): boolean;
}

/** An empty set. */
export function createKeySet(): KeySet {
  let hashes = new Float64Array(1_024);
  let taken: Uint8Array | undefined;
  let count = 0;

  function find(key: string): number {
    if (taken === undefined) {
      hashes = hashes.slice(0, count).sort();
      taken = new Uint8Array(count);
    }
    const wanted = hashOf(key);
    let [low, high] = [0, count];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((hashes[middle] as number) < wanted) low = middle + 1;
      else high = middle;
    }
    return hashes[low] === wanted ? low : -1;
  }

  return {
    add(key) {
      if (taken !== undefined) throw new Error('keys are added before the first one is asked for');
      if (count === hashes.length) {
        const larger = new Float64Array(count * 2);
        larger.set(hashes);
        hashes = larger;
      }
      hashes[count++] = hashOf(key);
    },
    take(key) {
      const at = find(key);
      if (at >= 0) (taken as Uint8Array)[at] = 1;
      return at >= 0;
    },
    isTaken(key) {
      const at = find(key);
      return at >= 0 && (taken as Uint8Array)[at] === 1;
    },
  };
}

/** The first 52 bits of its SHA-256: a number holds them exactly. */
function hashOf(key: string): number {
  const digest = createHash('sha256').update(key).digest();
  return digest.readUIntBE(0, 6) * 16 + ((digest[6] as number) >> 4);
}
