// What the pages have in common: a head that fetches nothing, tiles, and the list of findings.
import type { Finding } from '../finding.ts';
import { REPORT_STYLE } from './style.ts';
import { asText, numberText } from './text.ts';

const MAX_FINDINGS = 500;
/** With more, the list is folded up. */
const MAX_OPEN = 20;

/** A page of its own: no script, nothing fetched. `body` is markup. */
export const htmlPage = (title: string, body: string): string => `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>${asText(title)}</title>
<style>${REPORT_STYLE}</style>
</head>
<body>
${body}
</body>
</html>
`;

/** A figure that is seen at once. */
export const tile = (what: string, value: string, isBad = false): string =>
  `<div class="tile${isBad ? ' bad' : ''}"><b>${value}</b><span>${what}</span></div>`;

/** The findings, the first of them one by one. */
export function findingList(findings: readonly Finding[]): string {
  const items = findings
    .slice(0, MAX_FINDINGS)
    .map(
      ({ key, kind, severity, detail }) =>
        `<li class="${severity}"><strong>${kind}</strong> <code>${asText(key)}</code><br>${asText(detail)}</li>`,
    );
  const more = findings.length - items.length;
  const rest =
    more > 0 ? `<p class="soft">And ${numberText(more)} more: archive verify --level list.</p>` : '';
  const list = `<ul>${items.join('\n')}</ul>${rest}`;
  return items.length > MAX_OPEN
    ? `<details><summary>${numberText(findings.length)} findings</summary>${list}</details>`
    : list;
}
