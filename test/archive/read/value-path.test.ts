// `a.b=c`: what it means for texts, numbers, arrays and names with dots, and what it refuses.
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { parseValuePath, valuePathTest } from '../../../src/archive/read/value-path.ts';
import { anyCharacter } from '../../any-character.ts';

const fits = (filter: string, value: string) => {
  const path = parseValuePath(filter);
  if (path === undefined) throw new Error(filter);
  return valuePathTest(path)(value);
};

it.each([
  ['a=x', '{"a":"x"}', true],
  ['a=x', '{"a":"xy"}', false],
  ['a=x', '{"b":{"a":"x"}}', false],
  ['b.a=x', '{"b":{"a":"x"}}', true],
  ['a=7', '{"a":7}', true],
  ['a=7', '{"a":"7"}', true],
  ['a="7"', '{"a":"7"}', true],
  ['a="7"', '{"a":7}', false],
  ['a=07', '{"a":7}', false],
  ['a=7.0', '{"a":7}', true],
  ['a=70', '{"a":7e1}', true],
  ['a=0', '{"a":-0.0}', true],
  ['a=true', '{"a":true}', true],
  ['a="true"', '{"a":true}', false],
  ['a=null', '{"a":null}', true],
  ['a=null', '{"b":1}', false],
  ['a=', '{"a":""}', true],
  ['a=b=c', '{"a":"b=c"}', true],
  ['é.😀=ключ', '{"\\u00e9":{"\\ud83d\\ude00":"\\u043a\\u043b\\u044e\\u0447"}}', true],
  [String.raw`a\.b=x`, '{"a.b":"x"}', true],
  [String.raw`a\.b=x`, '{"a":{"b":"x"}}', false],
  [String.raw`a\=b=x`, '{"a=b":"x"}', true],
  [String.raw`a\\.b=x`, String.raw`{"a\\":{"b":"x"}}`, true],
  [String.raw`a\nb=x`, String.raw`{"a\\nb":"x"}`, true],
  ['lines.1.sku=B', '{"lines":[{"sku":"A"},{"sku":"B"}]}', true],
  ['lines.0.sku=B', '{"lines":[{"sku":"A"},{"sku":"B"}]}', false],
  ['lines.2.sku=B', '{"lines":[{"sku":"A"},{"sku":"B"}]}', false],
  ['lines.sku=B', '{"lines":[{"sku":"A"},{"sku":"B"}]}', true],
  ['tags=red', '{"tags":["blue","red"]}', true],
  ['0.a=x', '[{"a":"x"}]', true],
  ['0.a=x', '{"0":{"a":"x"}}', true],
  ['a.b=x', '{"a":[[{"b":"x"}]]}', true],
  ['a=x', '\ufeff{"a":"x"}', true],
  ['a=x', '{"a":"y","a":"x"}', true],
  ['__proto__=x', '{"__proto__":"x"}', true],
  ['constructor.name=Object', '{}', false],
  ['length=1', '["x"]', false],
  ['a=x', 'a=x', false],
  ['a=x', '{"a":"x"', false],
  ['a=x', '', false],
  ['a.b=x', '{"a":"x"}', false],
])('%s in %s: %s', (filter, value, expected) => expect(fits(filter, value)).toBe(expected));

it.each(['', 'a', 'a.b', '=x', '.a=x', 'a.=x', 'a..b=x', String.raw`a\=x`])('refuses %s', (text) =>
  expect(parseValuePath(text)).toBeUndefined(),
);

it('tells numbers apart that differ in their last digit, whatever their size', () => {
  const value = '{"s":"\\"id\\":12345678901234567891","id":12345678901234567890,"price":0.1}';
  expect(fits('id=12345678901234567890', value)).toBe(true);
  expect(fits('id=12345678901234567891', value)).toBe(false);
  expect(fits('price=0.10000000000000000555', value)).toBe(false);
  expect(fits('price=1e-1', value)).toBe(true);
  expect(fits('a=1e400', '{"a":1e400}')).toBe(true);
  expect(fits('a=1e400', '{"a":1e401}')).toBe(false);
});

it('takes no longer for a value that is deep or full of escapes', () => {
  const deep = `{"a":${'['.repeat(100_000)}"x"${']'.repeat(100_000)}}`;
  expect(fits('a=x', deep)).toBe(true);
  expect(fits('a=1', `{"b":${JSON.stringify('\\"1'.repeat(200_000))},"a":1.0}`)).toBe(true);
});

it('finds any text under any name', () => {
  fc.assert(
    fc.property(
      fc.array(fc.string({ unit: anyCharacter, minLength: 1, maxLength: 5 }), { minLength: 1, maxLength: 3 }),
      fc.string({ unit: anyCharacter }),
      (path, text) => {
        const typed = path.map((name) => name.replace(/[\\.=]/g, '\\$&')).join('.');
        const value = JSON.stringify(path.reduceRight<unknown>((inner, name) => ({ [name]: inner }), text));
        expect(fits(`${typed}=${JSON.stringify(text)}`, value)).toBe(true);
      },
    ),
  );
});
