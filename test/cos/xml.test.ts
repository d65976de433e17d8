// What COS's XML may hold, and what is no XML.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { elementsOf, parseXml, textAt, toXml } from '../../src/cos/xml.ts';

test('elements, their text, and lists of them are found; declarations, comments and attributes are passed over', () => {
  const xml = parseXml(
    `<?xml version='1.0' encoding='utf-8' ?>\n<!-- a -->\n<List xmlns="http://x/"><A>1</A><B a='1'/><A> <![CDATA[<&>]]>\n</A><C><D>&lt;&#x8ba2;&#50;&quot;</D></C></List>`,
  );
  expect(xml?.name).toBe('List');
  expect(elementsOf(xml, 'A').map(({ text }) => text)).toEqual(['1', ' <&>\n']);
  expect(textAt(xml, 'C', 'D')).toBe('<订2"');
  expect(textAt(xml, 'C', 'none', 'deeper')).toBeUndefined();
});

test.each(['', 'no XML', '<', '<!', '</a>', '{"a":1}', '&amp;'])('of %j, nothing is read', (text) => {
  expect(parseXml(text)).toBeUndefined();
});

test.each([
  ['<Error><Code>X</Code><Message>cut o', 'X'],
  ['<a><Code>X</Code></a></a></b><c/>', 'X'],
  ['<a><Code>&unknown;&#x110000;</Code></a>', '&unknown;&#x110000;'],
])('%s is read as far as it goes', (text, code) => {
  expect(textAt(parseXml(text), 'Code')).toBe(code);
});

test('any text comes back from its XML', () => {
  const texts = fc.oneof(
    fc.string({ unit: 'grapheme' }),
    fc.string({ unit: fc.constantFrom(...'<>&;"]#x3 ') }),
  );
  fc.assert(
    fc.property(fc.array(texts), (parts) => {
      const xml = parseXml(toXml({ Whole: { Part: parts.map((Text) => ({ Text })) } }));
      expect(elementsOf(xml, 'Part').map((part) => textAt(part, 'Text'))).toEqual(parts);
    }),
  );
});
