// XML as COS writes and reads it: elements and text. Attributes, comments and declarations are passed over; whatever else is
// no XML of this kind is read as far as it goes, for what a caller needs and does not find is its error.

/** An element. Its `text` is its own, without that of elements in it. */
export interface Xml {
  readonly name: string;
  readonly text: string;
  readonly elements: readonly Xml[];
}

interface Open {
  readonly name: string;
  text: string;
  readonly elements: Xml[];
}

const TOKEN = /<!\[CDATA\[([\s\S]*?)\]\]>|<[!?][^>]*>|<\/[^>]*>|<([^\s/>]+)[^>]*?(\/?)>|([^<]+)/g;

/** The outermost element; `undefined` where there is none. */
export function parseXml(text: string): Xml | undefined {
  const root: Open = { name: '', text: '', elements: [] };
  const open: Open[] = [root];
  for (const [token, cdata, name, isEmpty, plain] of text.matchAll(TOKEN)) {
    const inner = open.at(-1) as Open;
    if (cdata !== undefined) inner.text += cdata;
    else if (plain !== undefined) inner.text += decoded(plain);
    else if (name !== undefined) {
      const element: Open = { name, text: '', elements: [] };
      inner.elements.push(element);
      if (isEmpty === '') open.push(element);
    } else if (token.startsWith('</') && open.length > 1) open.pop();
  }
  return root.elements[0];
}

const ENTITIES: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" };

function decoded(text: string): string {
  if (!text.includes('&')) return text;
  return text.replace(/&(?:#(\d+)|#x([\da-f]+)|(\w+));/gi, (whole, decimal, hex, name) => {
    if (name !== undefined) return ENTITIES[name] ?? whole;
    const code = decimal === undefined ? Number.parseInt(hex, 16) : Number(decimal);
    return code <= 0x10_ff_ff ? String.fromCodePoint(code) : whole;
  });
}

/** The elements of this name right inside. */
export const elementsOf = (xml: Xml | undefined, name: string): readonly Xml[] =>
  xml?.elements.filter((one) => one.name === name) ?? [];

/** The text at the end of a path of names; `undefined` where there is no such element. */
export function textAt(xml: Xml | undefined, ...path: readonly string[]): string | undefined {
  let at = xml;
  for (const name of path) at = elementsOf(at, name)[0];
  return at?.text;
}

/** What is written as XML: a text, or elements by name; a list is an element for each. */
export type XmlContent = string | { readonly [name: string]: XmlContent | readonly XmlContent[] };

/** Elements in the order of their names' first appearance. */
export function toXml(content: XmlContent): string {
  if (typeof content === 'string') return content.replace(/[&<>]/g, (one) => `&#${one.charCodeAt(0)};`);
  return Object.entries(content)
    .flatMap(([name, one]) =>
      (Array.isArray(one) ? (one as readonly XmlContent[]) : [one as XmlContent]).map(
        (inner) => `<${name}>${toXml(inner)}</${name}>`,
      ),
    )
    .join('');
}
