// How commands report entries that are kept raw.
import { formatCount } from '../../lib/format-count.ts';

/** One sentence on the raw entries of an archive. */
export function rawText(unreadable: number, recovered: number): string {
  const left = unreadable - recovered;
  const kept = `${count(unreadable)} kept raw under _unreadable/`;
  if (left === 0) return `${kept}, all recovered`;
  const rest = recovered === 0 ? 'not decoded' : `${recovered} recovered, ${left} not decoded`;
  return `${kept}, ${rest}: archive recover tries again`;
}

const count = (entries: number): string =>
  entries === 1 ? '1 entry is' : `${formatCount(entries)} entries are`;
