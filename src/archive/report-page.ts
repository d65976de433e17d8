// An archive as one self-contained HTML page: what lies where in time, gaps, and the sizes of files. No script, nothing
// fetched; it can be mailed, or kept with an audit.
import { formatTime } from '../record.ts';
import { type ArchiveObject, byPartition, type Catalog } from './catalog.ts';
import { type Coverage, coverageOf } from './coverage.ts';
import type { Finding } from './finding.ts';
import { verifyCatalog } from './verify-catalog.ts';

const SPANS = 160;
const WIDTH = 960;
const LANE_HEIGHT = 34;
const LABEL_WIDTH = 90;
/** Upper ends of the classes of file sizes. */
const SIZE_CLASSES: readonly (readonly [label: string, bytes: number])[] = [
  ['under 10 kB', 1e4],
  ['10–100 kB', 1e5],
  ['100 kB–1 MB', 1e6],
  ['1–10 MB', 1e7],
  ['10–100 MB', 1e8],
  ['100 MB and more', Number.POSITIVE_INFINITY],
];

const STYLE = `
:root { color-scheme: light dark; --ink: #1c2430; --soft: #667085; --lane: #eef1f5; --messages: #2563eb;
  --bytes: #0d9488; --bad: #dc2626; --page: #fff; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6eaf0; --soft: #98a2b3; --lane: #1d2530; --messages: #60a5fa;
  --bytes: #2dd4bf; --bad: #f87171; --page: #10151c; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--page); max-width: 1000px;
  margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2.5rem; overflow-wrap: anywhere; } h3 { font-size: 1rem; }
p.soft, figcaption, td.soft { color: var(--soft); } figure { margin: 1rem 0; }
svg { width: 100%; height: auto; display: block; } svg text { font: 11px system-ui, sans-serif; fill: var(--soft); }
.lane { fill: var(--lane); } .messages { fill: var(--messages); } .bytes { fill: var(--bytes); }
table { border-collapse: collapse; } th, td { text-align: left; padding: .2rem 1.2rem .2rem 0; vertical-align: top; }
td.number { text-align: right; font-variant-numeric: tabular-nums; } li.damage { color: var(--bad); }
`;

/** The page. `name` is what the archive is called, `madeAt` when it was looked at. */
export function reportPage(catalog: Catalog, name: string, madeAt: Date): string {
  const { objects } = catalog;
  const topics = [...new Set(objects.map(({ topic }) => topic))];
  const findings = verifyCatalog(catalog, false);
  const sections = topics.map((topic) =>
    topicSection(
      topic,
      objects.filter((object) => object.topic === topic),
    ),
  );
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Archive ${asText(name)}</title>
<style>${STYLE}</style>
</head>
<body>
<h1>Archive ${asText(name)}</h1>
<p>${totals(objects)}</p>
<p class="soft">As of ${asText(madeAt.toISOString())}, by keys, manifests and metadata; nothing was downloaded.</p>
${sections.join('\n')}
${findingList(findings)}
</body>
</html>
`;
}

function topicSection(topic: string, objects: readonly ArchiveObject[]): string {
  const coverage = coverageOf(objects, SPANS);
  const charts =
    coverage === undefined
      ? '<p class="soft">No object tells its times.</p>'
      : chart('Messages over time', 'messages', coverage) + chart('Bytes over time', 'bytes', coverage);
  const rows = [...byPartition(objects).values()].map((own) => {
    const first = own[0] as ArchiveObject;
    const last = own.at(-1) as ArchiveObject;
    const cells = [
      `<td>${partitionText(first.parts.partition)}</td>`,
      `<td class="number">${number(own.length)}</td>`,
      `<td class="number">${number(messagesOf(own))}</td>`,
      `<td class="number">${bytesText(bytesOf(own))}</td>`,
      `<td class="soft">${timeText(first.facts.firstPublishTimeMs)}</td>`,
      `<td class="soft">${timeText(last.facts.lastPublishTimeMs)}</td>`,
    ];
    return `<tr>${cells.join('')}</tr>`;
  });
  return `<section>
<h2>${asText(topic)}</h2>
<p>${totals(objects)}</p>
${charts}
${sizeChart(objects)}
<table><thead><tr><th>partition</th><th>objects</th><th>messages</th><th>bytes</th><th>first</th><th>last</th></tr></thead>
<tbody>${rows.join('\n')}</tbody></table>
</section>`;
}

/** A lane for each partition; the height of a bar is its share of the busiest span. An empty place is a gap in time. */
function chart(title: string, what: 'messages' | 'bytes', coverage: Coverage): string {
  const { partitions, fromMs, toMs, spanMs } = coverage;
  const most = Math.max(...partitions.flatMap((one) => one[what]));
  const step = (WIDTH - LABEL_WIDTH) / SPANS;
  const lanes = partitions.map((one, lane) => {
    const top = lane * (LANE_HEIGHT + 6);
    const bars = one[what].map((count, span) => {
      if (count === 0) return '';
      const height = Math.max(1, (count / most) * LANE_HEIGHT);
      const x = LABEL_WIDTH + span * step;
      const amount = what === 'bytes' ? bytesText(count) : `${number(Math.round(count))} messages`;
      const from = asText(formatTime(Math.floor(fromMs + span * spanMs)));
      return `<rect class="${what}" x="${x.toFixed(1)}" y="${(top + LANE_HEIGHT - height).toFixed(1)}" width="${Math.max(1, step - 0.5).toFixed(1)}" height="${height.toFixed(1)}"><title>${from}: ${amount}</title></rect>`;
    });
    return `<text x="0" y="${top + LANE_HEIGHT - 12}">partition ${partitionText(one.partition)}</text><rect class="lane" x="${LABEL_WIDTH}" y="${top}" width="${WIDTH - LABEL_WIDTH}" height="${LANE_HEIGHT}"/>${bars.join('')}`;
  });
  const bottom = partitions.length * (LANE_HEIGHT + 6) + 12;
  return `<figure><h3>${title}</h3>
<svg viewBox="0 0 ${WIDTH} ${bottom + 6}" role="img" aria-label="${title}">${lanes.join('\n')}
<text x="${LABEL_WIDTH}" y="${bottom}">${asText(formatTime(fromMs))}</text><text x="${WIDTH}" y="${bottom}" text-anchor="end">${asText(formatTime(toMs - 1))}</text></svg>
</figure>`;
}

function sizeChart(objects: readonly ArchiveObject[]): string {
  const counts = SIZE_CLASSES.map(
    ([, upTo], i) =>
      objects.filter(({ sizeBytes }) => sizeBytes < upTo && sizeBytes >= (SIZE_CLASSES[i - 1]?.[1] ?? 0))
        .length,
  );
  const most = Math.max(...counts);
  const rows = SIZE_CLASSES.map(([label], i) => {
    const count = counts[i] as number;
    const width = (count / most) * (WIDTH - 260);
    const y = i * 20;
    return `<text x="0" y="${y + 13}">${label}</text><rect class="messages" x="130" y="${y + 2}" width="${width.toFixed(1)}" height="14"/><text x="${(138 + width).toFixed(1)}" y="${y + 13}">${number(count)}</text>`;
  });
  return `<figure><h3>Sizes of files</h3>
<svg viewBox="0 0 ${WIDTH} ${SIZE_CLASSES.length * 20}" role="img" aria-label="Sizes of files">${rows.join('\n')}</svg></figure>`;
}

function findingList(findings: readonly Finding[]): string {
  if (findings.length === 0) return '<h2>Gaps</h2><p>None between objects, and no object is missing.</p>';
  const items = findings.map(
    ({ key, kind, severity, detail }) =>
      `<li class="${severity}"><strong>${kind}</strong> ${asText(key)}: ${asText(detail)}</li>`,
  );
  return `<h2>Gaps and other findings</h2><ul>${items.join('\n')}</ul>`;
}

const bytesOf = (objects: readonly ArchiveObject[]) =>
  objects.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);

function messagesOf(objects: readonly ArchiveObject[]): number | undefined {
  return objects.reduce<number | undefined>(
    (sum, { facts }) =>
      sum === undefined || facts.messages === undefined ? undefined : sum + facts.messages,
    0,
  );
}

const totals = (objects: readonly ArchiveObject[]): string =>
  `${number(objects.length)} objects, ${number(messagesOf(objects))} messages, ${bytesText(bytesOf(objects))}`;

const number = (value: number | undefined): string => value?.toLocaleString('en-US') ?? '?';
const partitionText = (partition: number): string => (partition < 0 ? 'none' : String(partition));
const timeText = (timeMs: number | undefined): string => (timeMs === undefined ? '?' : formatTime(timeMs));

function bytesText(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  const unit = Math.min(units.length - 1, Math.floor(Math.log10(Math.max(1, bytes)) / 3));
  const value = bytes / 1_000 ** unit;
  return `${unit === 0 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

/** Topic names may hold anything. */
const asText = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
