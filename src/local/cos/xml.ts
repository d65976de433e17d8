// COS's XML as far as the loopback COS needs it: written from nested lists of elements, read by patterns.

/** An element: its name, and its text or its children. Children that are `undefined` are left out. */
export type Element = readonly [
  name: string,
  content: string | number | boolean | readonly (Element | undefined)[],
];

/** An XML document with this root. */
export function xmlDocument(root: Element): string {
  return `<?xml version="1.0" encoding="UTF-8"?>\n${xmlElement(root)}`;
}

function xmlElement([name, content]: Element): string {
  const inner =
    typeof content === 'object'
      ? content.map((child) => (child === undefined ? '' : xmlElement(child))).join('')
      : escapeXml(String(content));
  return `<${name}>${inner}</${name}>`;
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&apos;',
};

function escapeXml(text: string): string {
  return text.replace(/[&<>"']/g, (c) => ENTITIES[c] as string);
}

function unescapeXml(text: string): string {
  return text.replace(
    /&(?:(amp|lt|gt|quot|apos)|#(\d+)|#x([0-9a-f]+));/gi,
    (_, named: string | undefined, decimal: string | undefined, hex: string | undefined) => {
      if (named !== undefined)
        return { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" }[named.toLowerCase()] as string;
      return String.fromCodePoint(
        decimal === undefined ? Number.parseInt(hex as string, 16) : Number(decimal),
      );
    },
  );
}

/** The contents of all elements of this name, unchanged, in order. They must not contain their own kind. */
export function readElements(xml: string, name: string): string[] {
  return [...xml.matchAll(new RegExp(`<${name}(?:\\s[^>]*)?>(.*?)</${name}>`, 'gs'))].map(
    (match) => match[1] as string,
  );
}

/** The text of the first element of this name. */
export function readText(xml: string, name: string): string | undefined {
  const content = readElements(xml, name)[0];
  return content === undefined ? undefined : unescapeXml(content).trim();
}
