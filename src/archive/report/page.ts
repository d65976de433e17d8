// An archive as one self-contained HTML page: which days and partitions have data, what is where in time, gaps, and the
// sizes of files. No script, nothing fetched; it can be mailed, or kept with an audit. Made of objects as they are listed,
// of each of which it keeps a few numbers.
import { type ArchiveObject, isRecovered, partitionName, type Surroundings } from '../catalog/catalog.ts';
import { coverageOf } from '../catalog/coverage.ts';
import { createDateGroups, type DateGroup, sumGroups } from '../catalog/date-groups.ts';
import { countText, knownText } from '../catalog/message-count.ts';
import { datesOf } from '../catalog/object-facts.ts';
import type { Finding } from '../finding.ts';
import type { SchemaSummary } from '../schemas/schemas.ts';
import { createCatalogCheck } from '../verify/verify-catalog.ts';
import { dayChart, sizeChart, sizesText } from './day-chart.ts';
import { findingList, htmlPage, tile } from './html.ts';
import { gapsBetween, missingObjects, type ReportGap } from './missing-times.ts';
import { asText, bytesText, filesText, numberText, partitionText, timeText } from './text.ts';
import { bytesChart, laneChart, spanText } from './time-charts.ts';

const SPANS = 180;

/** What is kept of the objects of a topic. */
interface TopicSums {
  readonly groups: ReturnType<typeof createDateGroups>;
  readonly sizes: number[];
}

/** Publish times of the objects of a partition in the order in which they came; NaN: not known. */
interface Times {
  readonly firstMs: number[];
  readonly lastMs: number[];
}

/** Makes a page of the objects that are added. */
export function createReportPage(prefix: string) {
  const topics = new Map<string, TopicSums>();
  const times = new Map<string, Times>();
  const check = createCatalogCheck(prefix);

  function gapsOf(findings: readonly Finding[], { missing }: Surroundings): ReportGap[] {
    const between = [...check.partitions].flatMap(([name, ranges]) => {
      const { topic, partition } = ranges;
      const own = times.get(name) as Times;
      return gapsBetween({ topic, partition, inOrder: () => ranges.inOrder(), ...own }, findings);
    });
    return [...missingObjects(missing), ...between];
  }

  return {
    add(object: ArchiveObject): void {
      const { topic, parts, facts, sizeBytes } = object;
      const own = topics.get(topic) ?? { groups: createDateGroups(), sizes: [] };
      topics.set(topic, own);
      own.groups.add(object);
      own.sizes.push(sizeBytes);
      const name = partitionName(topic, parts.partition);
      const { firstMs, lastMs } = times.get(name) ?? { firstMs: [], lastMs: [] };
      times.set(name, { firstMs, lastMs });
      const dates = datesOf(facts);
      firstMs.push(dates[0] ?? Number.NaN);
      lastMs.push(dates.at(-1) ?? Number.NaN);
      check.add(object);
    },
    /** The page. `name` is what the archive is called, `madeAt` when it was looked at. */
    page(
      surroundings: Surroundings,
      name: string,
      madeAt: Date,
      schemas: readonly SchemaSummary[] = [],
    ): string {
      const findings = check.findings(surroundings);
      const gaps = gapsOf(findings, surroundings);
      const sections = [...topics].map(([topic, sums]) =>
        topicSection(
          topic,
          sums,
          gaps.filter((gap) => gap.topic === topic),
        ),
      );
      const groups = [...topics.values()].flatMap((own) => own.groups.groups());
      return htmlPage(
        `Archive ${name}`,
        `<svg class="defs" aria-hidden="true"><defs><pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect class="hatch-back" width="6" height="6"/><rect class="hatch" width="2.5" height="6"/></pattern></defs></svg>
<header>
<h1>${asText(name)}</h1>
<p class="soft">Archive as of ${asText(timeText(madeAt.getTime()))}, from keys, manifests and metadata; no object was downloaded.</p>
</header>
${tiles(groups, surroundings, findings)}
${sections.join('\n')}
${schemaSection(schemas)}
${findingSection(findings)}`,
      );
    },
  };
}

function tiles(
  groups: readonly DateGroup[],
  { missing, raw }: Surroundings,
  findings: readonly Finding[],
): string {
  const days = new Set(groups.map(({ date }) => date)).size;
  const sums = sumGroups(groups);
  const gaps = findings.filter(({ kind }) => kind === 'gap').length;
  return `<div class="tiles">${[
    tile(
      sums.unknown === 0 ? 'messages' : `messages; ${filesText(sums.unknown)} unknown`,
      knownText(sums, sums.objects),
    ),
    tile('stored', bytesText(sums.bytes)),
    tile('files', numberText(sums.objects)),
    tile('days with data', numberText(days)),
    tile('gaps in entry ids', numberText(gaps), gaps > 0),
    tile('files missing', numberText(missing.length), missing.length > 0),
    ...(raw.length > 0 ? [tile('entries kept raw', numberText(raw.length))] : []),
    ...(raw.length > 0 ? [tile('of them recovered', numberText(raw.filter(isRecovered).length))] : []),
  ].join('')}</div>`;
}

function topicSection(topic: string, own: TopicSums, gaps: readonly ReportGap[]): string {
  const coverage = coverageOf(own.groups.spans(), SPANS);
  const groups = own.groups.groups();
  const sums = sumGroups(groups);
  const period = [...new Set([groups[0]?.date, groups.at(-1)?.date])].join(' to ');
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
<p class="soft">${knownText(sums, sums.objects)} messages in ${filesText(sums.objects)}${sums.unknown === 0 ? '' : `, ${numberText(sums.unknown)} unknown`}, ${bytesText(sums.bytes)}, ${asText(period)}</p>
${figure('Days with data', legend, dayChart(groups, gaps))}
${times}
${figure('Sizes of files', sizesText(own.sizes), sizeChart(own.sizes))}
${partitionTable(groups)}
</section>`;
}

function partitionTable(groups: readonly DateGroup[]): string {
  const partitions = [...new Set(groups.map(({ partition }) => partition))].sort((a, b) => a - b);
  const rows = partitions.map((partition) => {
    const own = groups.filter((group) => group.partition === partition);
    const sums = sumGroups(own);
    const cells = [
      `<td>${partitionText(partition)}</td>`,
      `<td class="number">${numberText(sums.objects)}</td>`,
      `<td class="number">${countText(sums, sums.objects)}</td>`,
      `<td class="number">${bytesText(sums.bytes)}</td>`,
      `<td class="soft">${timeText(own[0]?.firstPublishTimeMs)}</td>`,
      `<td class="soft">${timeText(own.at(-1)?.lastPublishTimeMs)}</td>`,
    ];
    return `<tr>${cells.join('')}</tr>`;
  });
  return `<table><thead><tr><th>partition</th><th class="number">files</th><th class="number">messages</th><th class="number">stored</th><th>first published</th><th>last published</th></tr></thead>
<tbody>${rows.join('\n')}</tbody></table>`;
}

function schemaSection(schemas: readonly SchemaSummary[]): string {
  if (schemas.length === 0) return '';
  const rows = schemas.map(({ topic, name, type, size }) => {
    const cells = [
      `<td><code>${asText(topic)}</code></td><td>${asText(name)}</td><td>${asText(type ?? '?')}</td>`,
      `<td class="number">${bytesText(size)}</td>`,
    ];
    return `<tr>${cells.join('')}</tr>`;
  });
  return `<section><h2>Schemas</h2>
<table><thead><tr><th>topic</th><th>version</th><th>type</th><th class="number">stored</th></tr></thead>
<tbody>${rows.join('\n')}</tbody></table></section>`;
}

function findingSection(findings: readonly Finding[]): string {
  return findings.length === 0
    ? '<section><h2>Gaps</h2><p>None between objects, and no object is missing.</p></section>'
    : `<section><h2>Gaps and other findings</h2>${findingList(findings)}</section>`;
}
