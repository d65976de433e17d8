// Message ids of the protocol: which entry one names, and the ack sets of batches, as java.util.BitSet writes them.
import type { Fields, Integer } from '../../pulsar/wire/protocol/codec.ts';
import type { Position } from './entry.ts';

/** The words of a java.util.BitSet. */
export function wordsOf(bits: bigint | undefined): bigint[] | undefined {
  if (bits === undefined) return undefined;
  return Array.from({ length: Math.ceil(bits.toString(2).length / 64) }, (_, index) =>
    BigInt.asIntN(64, bits >> BigInt(64 * index)),
  );
}

/** The bits of a java.util.BitSet's words. */
export function bitsOf(words: readonly (number | bigint)[]): bigint {
  return words.reduce<bigint>(
    (bits, word, index) => bits | (BigInt.asUintN(64, BigInt(word)) << BigInt(64 * index)),
    0n,
  );
}

/** An unsigned number of 64 bits as Java reads it: -1, for the earliest, is sent as 2^64-1. */
export const signed = (value: Integer): number => Number(BigInt.asIntN(64, BigInt(value)));

/** The position that a message id names. */
export function positionFrom(id: Fields<'MessageIdData'>): Position {
  return { ledgerId: signed(id.ledgerId ?? 0), entryId: signed(id.entryId ?? 0) };
}
