// A verification as a page to look at and to file: what was looked at, when and with what, how it came out, and each
// partition and day with its result. The JSON beside it has every figure; the page says which one that is.

import { describeCopy } from '../catalog/copy-scope.ts';
import { countText } from '../catalog/message-count.ts';
import type { PartitionResult } from '../chain/verify-chain.ts';
import type { DayResult } from '../verify/day-tally.ts';
import type { VerifyReport } from '../verify/verify.ts';
import { findingList, htmlPage, tile } from './html.ts';
import { asText, bytesText, numberText, partitionText } from './text.ts';
import { dayText, LABEL_WIDTH, svg, WIDTH } from './time-charts.ts';

const DAY_MS = 86_400_000;
const MAX_DAYS = 400;
const MAX_CELL = 30;
const ROW_HEIGHT = 24;

/** What is filed besides the report itself. */
export interface Filing {
  readonly tool: { readonly name: string; readonly version: string; readonly node: string };
  /** Bucket and prefix, or the folder of a copy. */
  readonly archive: string;
  readonly selection: { readonly topic: string | null; readonly from: string | null };
  readonly startedAt: string;
  readonly endedAt: string;
  readonly result: 'sound' | 'damaged';
}

/** A report as it is filed. */
export type FiledReport = VerifyReport & Filing;

/** The page. `json` is the name of the file that has every figure, and its SHA-256. */
export function verificationPage(report: FiledReport, json: { name: string; sha256: string }): string {
  const { result, findings, partitions, days } = report;
  const isDamaged = result === 'damaged';
  const topics = [...new Set([...partitions, ...days].map(({ topic }) => topic))].sort();
  const outcome = isDamaged
    ? `Damaged: ${numberText(report.damagedObjects)} objects or manifests`
    : 'No damage was found';
  return htmlPage(
    `Verification of ${report.archive}`,
    `<header>
<h1>${asText(report.archive)}</h1>
<p class="outcome ${result}">${outcome}</p>
</header>
${facts(report, json)}
${tiles(report)}
${topics.map((topic) => topicSection(topic, report)).join('\n')}
<section><h2>Findings</h2>${findings.length === 0 ? '<p>None.</p>' : findingList(findings)}</section>`,
  );
}

function facts(report: FiledReport, json: { name: string; sha256: string }): string {
  const { tool, selection, chain } = report;
  const levels = {
    list: 'keys, metadata, sizes and manifests; no object was downloaded',
    object: 'also the checksums of the bytes of every object',
    record: 'also every record of every object',
  };
  const rows: [what: string, text: string][] = [
    ['Looked at', `${report.level}: ${levels[report.level]}`],
    [
      'Selection',
      `${selection.topic ?? 'all topics'}${selection.from === null ? '' : `, from ${selection.from} on`}`,
    ],
    ...report.copies.map((note): [string, string] => ['A copy of', describeCopy(note)]),
    ...(report.leftOut === 0
      ? []
      : [
          ['Left out of it', `${numberText(report.leftOut)} objects that its manifests name`] as [
            string,
            string,
          ],
        ]),
    ['From, until', `${report.startedAt} to ${report.endedAt}`],
    ['With', `${tool.name} ${tool.version}, Node.js ${tool.node}`],
    ['Runs', runsText(chain)],
    ['In no manifest', `${numberText(report.unlisted)} of ${numberText(report.objects)} objects`],
    ...chain.heads.map(({ rule, key, sha256 }): [string, string] => [
      `Newest manifest of ${rule}`,
      `${key}, SHA-256 ${sha256}`,
    ]),
    ['All figures', `${json.name}, SHA-256 ${json.sha256}`],
  ];
  const list = rows.map(
    ([what, text]) => `<tr><th>${asText(what)}</th><td><code>${asText(text)}</code></td></tr>`,
  );
  return `<section><table class="facts"><tbody>${list.join('\n')}</tbody></table></section>`;
}

function runsText({ manifests, followed, from, until }: VerifyReport['chain']): string {
  if (followed === 0)
    return `${numberText(manifests)} manifests, of which none says where the subscription was`;
  return `${numberText(followed)} of ${numberText(manifests)} manifests followed, from ${from} to ${until}`;
}

function tiles(report: FiledReport): string {
  const sum = (of: (one: PartitionResult) => { entries: number }) =>
    report.partitions.reduce((total, one) => total + of(one).entries, 0);
  const lost = sum((one) => one.lost);
  const unknown = sum((one) => one.unknown);
  return `<div class="tiles">${[
    tile('messages', countText(report, report.objects)),
    tile('stored', bytesText(report.bytes)),
    tile('files', numberText(report.objects)),
    tile('damaged or missing', numberText(report.damagedObjects), report.damagedObjects > 0),
    tile('entries lost that no manifest names', numberText(lost), lost > 0),
    tile('passed over by the subscription', numberText(sum((one) => one.passedOver))),
    tile('in no object, nobody says why', numberText(unknown)),
    tile('messages stored twice', numberText(report.duplicates)),
  ].join('')}</div>`;
}

function topicSection(topic: string, report: FiledReport): string {
  const own = report.days.filter((day) => day.topic === topic);
  return `<section>
<h2>${asText(topic)}</h2>
<figure><figcaption><h3>Partitions and days</h3><span class="soft"><i class="key sound"></i> no damage, <i class="key noticed"></i> with notices, <i class="key gap"></i> damaged, <i class="key empty"></i> nothing there</span></figcaption>${dayField(own)}</figure>
${partitionTable(
  report.partitions.filter((one) => one.topic === topic),
  own,
)}
</section>`;
}

/** A row for each partition, a cell for each day, or for as many days as there is room for. */
function dayField(days: readonly DayResult[]): string {
  if (days.length === 0) return '<p class="soft">No object is there.</p>';
  const times = days.map(({ date }) => Date.parse(date) / DAY_MS);
  const first = times.reduce((a, b) => Math.min(a, b));
  const last = times.reduce((a, b) => Math.max(a, b));
  const step = Math.ceil((last - first + 1) / MAX_DAYS);
  const count = Math.floor((last - first) / step) + 1;
  const cell = Math.min(MAX_CELL, (WIDTH - LABEL_WIDTH) / count);
  const rows = new Map<number, DayResult[]>();
  for (const day of days) {
    const own = rows.get(day.partition);
    if (own === undefined) rows.set(day.partition, [day]);
    else own.push(day);
  }
  const drawn = [...rows].map(([partition, own], row) => {
    const y = row * ROW_HEIGHT;
    const cells: DayResult[][] = Array.from({ length: count }, () => []);
    for (const day of own) cells[Math.floor((Date.parse(day.date) / DAY_MS - first) / step)]?.push(day);
    const boxes = cells.map((inCell, at) => {
      const box = `x="${(LABEL_WIDTH + at * cell).toFixed(1)}" y="${y}" width="${(cell * 0.88).toFixed(1)}" height="${ROW_HEIGHT - 3}"`;
      const when = new Date((first + at * step) * DAY_MS).toISOString().slice(0, 10);
      const title = `${when}${step > 1 ? ` and ${step - 1} more days` : ''}, partition ${partitionText(partition)}: ${cellText(inCell)}`;
      return `<g><title>${asText(title)}</title><rect class="cell ${cellClass(inCell)}" ${box}/></g>`;
    });
    return `<text class="label" x="0" y="${y + 15}">partition ${partitionText(partition)}</text>${boxes.join('')}`;
  });
  const bottom = rows.size * ROW_HEIGHT;
  const every = Math.max(1, Math.ceil(44 / cell));
  const labels = Array.from({ length: Math.ceil(count / every) }, (_, i) => {
    const text = dayText((first + i * every * step) * DAY_MS, every * step * DAY_MS);
    return `<text class="label" x="${(LABEL_WIDTH + i * every * cell).toFixed(1)}" y="${bottom + 14}">${text}</text>`;
  });
  return svg('Partitions and days', bottom + 22, `${drawn.join('\n')}${labels.join('')}`);
}

const total = (days: readonly DayResult[], of: (day: DayResult) => number): number =>
  days.reduce((sum, day) => sum + of(day), 0);

function cellClass(days: readonly DayResult[]): string {
  if (total(days, ({ damage }) => damage) > 0) return 'damaged';
  if (total(days, ({ objects }) => objects) === 0) return 'empty';
  return total(days, ({ notices }) => notices) > 0 ? 'noticed' : 'sound';
}

function cellText(days: readonly DayResult[]): string {
  const objects = total(days, (day) => day.objects);
  const damage = total(days, (day) => day.damage);
  const notices = total(days, (day) => day.notices);
  return [
    objects === 0
      ? 'nothing'
      : `${numberText(objects)} files, ${bytesText(total(days, ({ bytes }) => bytes))}`,
    ...(damage > 0 ? [`${damage} damaged or missing`] : []),
    ...(notices > 0 ? [`${notices} notices`] : []),
  ].join(', ');
}

function partitionTable(partitions: readonly PartitionResult[], days: readonly DayResult[]): string {
  const head = ['files', 'stored', 'lost', 'passed over', 'without message', 'unknown'];
  const rows = partitions.map(({ partition, followed, ...result }) => {
    const own = days.filter((day) => day.partition === partition);
    const { lost, passedOver, withoutMessage, unknown } = result;
    const numbers = [
      numberText(total(own, ({ objects }) => objects)),
      bytesText(total(own, ({ bytes }) => bytes)),
      ...[lost, passedOver, withoutMessage, unknown].map(({ entries }) => numberText(entries)),
    ];
    const range = followed === undefined ? 'not followed' : `${followed.after} to ${followed.through}`;
    return `<tr><td>${partitionText(partition)}</td>${numbers.map((text) => `<td class="number">${text}</td>`).join('')}<td class="soft">${range}</td></tr>`;
  });
  const titles = head.map((text) => `<th class="number">${text}</th>`).join('');
  return `<table><thead><tr><th>partition</th>${titles}<th>entries followed</th></tr></thead><tbody>${rows.join('\n')}</tbody></table>`;
}
