// An archive as one self-contained HTML page: which days and partitions have data, what is where in time, gaps, and the
// sizes of files. No script, nothing fetched; it can be mailed, or kept with an audit.
import { type ArchiveObject, byPartition, type Catalog, isRecovered } from '../catalog.ts';
import { coverageOf } from '../coverage.ts';
import type { Finding } from '../finding.ts';
import { countMessages, countText, knownText } from '../message-count.ts';
import { verifyCatalog } from '../verify-catalog.ts';
import { dayChart, sizeChart, sizesText } from './day-chart.ts';
import { findingList, htmlPage, tile } from './html.ts';
import { placeGaps, type ReportGap } from './missing-times.ts';
import { asText, bytesText, filesText, numberText, partitionText, timeText } from './text.ts';
import { bytesChart, laneChart, spanText } from './time-charts.ts';

const SPANS = 180;

/** The page. `name` is what the archive is called, `madeAt` when it was looked at. */
export function reportPage(catalog: Catalog, name: string, madeAt: Date): string {
  const { objects } = catalog;
  const topics = [...new Set(objects.map(({ topic }) => topic))];
  const findings = verifyCatalog(catalog, false);
  const gaps = placeGaps(catalog, findings);
  const sections = topics.map((topic) =>
    topicSection(
      topic,
      objects.filter((object) => object.topic === topic),
      gaps.filter((gap) => gap.topic === topic),
    ),
  );
  return htmlPage(
    `Archive ${name}`,
    `<svg class="defs" aria-hidden="true"><defs><pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect class="hatch-back" width="6" height="6"/><rect class="hatch" width="2.5" height="6"/></pattern></defs></svg>
<header>
<h1>${asText(name)}</h1>
<p class="soft">Archive as of ${asText(timeText(madeAt.getTime()))}, from keys, manifests and metadata; no object was downloaded.</p>
</header>
${tiles(catalog, findings)}
${sections.join('\n')}
${findingSection(findings)}`,
  );
}

function tiles({ objects, missing, raw }: Catalog, findings: readonly Finding[]): string {
  const days = new Set(objects.map(({ parts }) => parts.date)).size;
  const count = countMessages(objects);
  const gaps = findings.filter(({ kind }) => kind === 'gap').length;
  return `<div class="tiles">${[
    tile(
      count.unknown === 0 ? 'messages' : `messages; ${filesText(count.unknown)} unknown`,
      knownText(count, objects.length),
    ),
    tile('stored', bytesText(bytesOf(objects))),
    tile('files', numberText(objects.length)),
    tile('days with data', numberText(days)),
    tile('gaps in entry ids', numberText(gaps), gaps > 0),
    tile('files missing', numberText(missing.length), missing.length > 0),
    ...(raw.length > 0 ? [tile('entries kept raw', numberText(raw.length))] : []),
    ...(raw.length > 0 ? [tile('of them recovered', numberText(raw.filter(isRecovered).length))] : []),
  ].join('')}</div>`;
}

function topicSection(topic: string, objects: readonly ArchiveObject[], gaps: readonly ReportGap[]): string {
  const coverage = coverageOf(objects, SPANS);
  const count = countMessages(objects);
  const figure = (title: string, soft: string, chart: string) =>
    `<figure><figcaption><h3>${title}</h3><span class="soft">${soft}</span></figcaption>${chart}</figure>`;
  const legend =
    'the stronger the colour, the more; <i class="key empty"></i> nothing <i class="key gap"></i> something is missing';
  const times =
    coverage === undefined
      ? '<p class="soft">No object reports its times: <code>archive index</code> would write them down.</p>'
      : figure(
          'Messages over time',
          `a bar is ${spanText(coverage.spanMs)}, as high as its share of the busiest; <i class="key gap"></i> something is missing; all times UTC`,
          laneChart(coverage, gaps),
        ) + figure('Bytes over time', 'as stored, all partitions', bytesChart(coverage));
  return `<section>
<h2>${asText(topic)}</h2>
<p class="soft">${knownText(count, objects.length)} messages in ${filesText(objects.length)}${count.unknown === 0 ? '' : `, ${numberText(count.unknown)} unknown`}, ${bytesText(bytesOf(objects))}, ${asText(periodText(objects))}</p>
${figure('Days with data', legend, dayChart(objects, gaps))}
${times}
${figure('Sizes of files', sizesText(objects), sizeChart(objects))}
${partitionTable(objects)}
</section>`;
}

function periodText(objects: readonly ArchiveObject[]): string {
  const dates = objects.map(({ parts }) => parts.date).sort();
  return dates[0] === dates.at(-1) ? (dates[0] ?? '') : `${dates[0]} to ${dates.at(-1)}`;
}

function partitionTable(objects: readonly ArchiveObject[]): string {
  const rows = [...byPartition(objects).values()].map((own) => {
    const first = own[0] as ArchiveObject;
    const last = own.at(-1) as ArchiveObject;
    const cells = [
      `<td>${partitionText(first.parts.partition)}</td>`,
      `<td class="number">${numberText(own.length)}</td>`,
      `<td class="number">${countText(countMessages(own), own.length)}</td>`,
      `<td class="number">${bytesText(bytesOf(own))}</td>`,
      `<td class="soft">${timeText(first.facts.firstPublishTimeMs)}</td>`,
      `<td class="soft">${timeText(last.facts.lastPublishTimeMs)}</td>`,
    ];
    return `<tr>${cells.join('')}</tr>`;
  });
  return `<table><thead><tr><th>partition</th><th class="number">files</th><th class="number">messages</th><th class="number">stored</th><th>first published</th><th>last published</th></tr></thead>
<tbody>${rows.join('\n')}</tbody></table>`;
}

function findingSection(findings: readonly Finding[]): string {
  return findings.length === 0
    ? '<section><h2>Gaps</h2><p>None between objects, and no object is missing.</p></section>'
    : `<section><h2>Gaps and other findings</h2>${findingList(findings)}</section>`;
}

const bytesOf = (objects: readonly ArchiveObject[]) =>
  objects.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
