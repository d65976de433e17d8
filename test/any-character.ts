// Any character as fast-check's unit `binary` makes it, which keeps a table of all 1,114,112 characters in the process
// (half a second, and memory that each full collection goes through).
import fc from 'fast-check';

const FIRST_SURROGATE = 0xd800;
const SURROGATES = 0x800;
const LONE_SURROGATE = /\p{Surrogate}/u;

/** The unit of a string of any characters, but for lone surrogates; shrinks to U+0000. */
export const anyCharacter: fc.Arbitrary<string> = fc
  .nat({ max: 0x10ffff - SURROGATES })
  .map((index) => String.fromCodePoint(index < FIRST_SURROGATE ? index : index + SURROGATES), indexOf);

/** @throws TypeError if this is not one character */
function indexOf(text: unknown): number {
  const codePoint = typeof text === 'string' && !LONE_SURROGATE.test(text) ? text.codePointAt(0) : undefined;
  if (codePoint === undefined || String.fromCodePoint(codePoint) !== text)
    throw new TypeError('Not a character');
  return codePoint < FIRST_SURROGATE ? codePoint : codePoint - SURROGATES;
}
