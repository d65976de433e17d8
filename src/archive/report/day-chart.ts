// Which days and partitions have data, and how much, as a field of cells; and how large the files are.
import type { DateGroup } from '../catalog/date-groups.ts';
import type { ReportGap } from './missing-times.ts';
import { asText, bytesText, filesText, numberText, partitionText, shortNumber } from './text.ts';
import { dayText, LABEL_WIDTH, svg, WIDTH } from './time-charts.ts';

const DAY_MS = 86_400_000;
/** With more days a cell is a week, and with more weeks so many days that the cells are not more. */
const MAX_DAYS = 190;
const MAX_WEEKS = 1_000;
const MAX_CELL = 46;
const ROW_HEIGHT = 24;
const LABELLED_CELL = 34;
/** Narrower ones have less between them, and a finer frame. */
const NARROW_CELL = 12;
/** Upper ends of the classes of file sizes. */
const SIZE_CLASSES: readonly (readonly [label: string, bytes: number])[] = [
  ['under 10 kB', 1e4],
  ['10–100 kB', 1e5],
  ['100 kB–1 MB', 1e6],
  ['1–10 MB', 1e7],
  ['10–100 MB', 1e8],
  ['100 MB and more', Number.POSITIVE_INFINITY],
];

/** A row for each partition, a cell for each day (by the date in the key); the stronger its colour, the more. */
export function dayChart(groups: readonly DateGroup[], gaps: readonly ReportGap[]): string {
  // One object of unknown count leaves the others counted in messages.
  const knowsMessages = groups.some(({ objects, unknown }) => unknown < objects);
  const describe = (amount: number, unknown: number) =>
    knowsMessages
      ? `${numberText(amount)} messages${unknown === 0 ? '' : `, ${filesText(unknown)} unknown,`}`
      : bytesText(amount);
  const days = daysOf(groups, gaps);
  const cell = Math.min(MAX_CELL, (WIDTH - LABEL_WIDTH) / days.count);
  const between = cell < NARROW_CELL ? cell * 0.15 : 2;
  const partitions = [...new Set(groups.map(({ partition }) => partition))].sort((a, b) => a - b);
  const rows = partitions.map((partition) => {
    const amounts = new Array<number>(days.count).fill(0);
    const counts = new Array<number>(days.count).fill(0);
    const unknown = new Array<number>(days.count).fill(0);
    for (const group of groups) {
      if (group.partition !== partition) continue;
      const at = days.indexOf(Date.parse(group.date));
      amounts[at] = (amounts[at] as number) + (knowsMessages ? group.messages : group.bytes);
      counts[at] = (counts[at] as number) + group.objects;
      unknown[at] = (unknown[at] as number) + group.unknown;
    }
    return { partition, amounts, counts, unknown };
  });
  const most = rows.reduce((highest, { amounts }) => Math.max(highest, ...amounts), 0);
  const drawn = rows.map(({ partition, amounts, counts, unknown }, row) => {
    const y = row * ROW_HEIGHT;
    const torn = new Set(
      gaps.filter((gap) => gap.partition === partition).flatMap((gap) => days.between(gap.fromMs, gap.toMs)),
    );
    const cells = amounts.map((amount, at) => {
      const count = counts[at] as number;
      const box = `x="${(LABEL_WIDTH + at * cell).toFixed(1)}" y="${y}" width="${(cell - between).toFixed(1)}" height="${ROW_HEIGHT - 3}"`;
      const what =
        count === 0 ? 'nothing' : `${describe(amount, unknown[at] as number)} in ${filesText(count)}`;
      const title = `${days.text(at)}, partition ${partitionText(partition)}: ${what}${torn.has(at) ? ', with a gap' : ''}`;
      const opacity = (0.18 + 0.82 * (amount / Math.max(1, most))).toFixed(2);
      const fill = count === 0 ? 'class="cell empty"' : `class="cell full" fill-opacity="${opacity}"`;
      const middle = (LABEL_WIDTH + at * cell + (cell - 2) / 2).toFixed(1);
      const text =
        count > 0 && cell >= LABELLED_CELL
          ? `<text class="${Number(opacity) > 0.6 ? 'on' : 'off'}" x="${middle}" y="${y + 15}" text-anchor="middle">${knowsMessages && unknown[at] === count ? '?' : shortNumber(amount)}</text>`
          : '';
      const tear = torn.has(at) ? `<rect class="torn${cell < NARROW_CELL ? ' narrow' : ''}" ${box}/>` : '';
      return `<g><title>${asText(title)}</title><rect ${fill} ${box}/>${tear}${text}</g>`;
    });
    return `<text class="label" x="0" y="${y + 15}">partition ${partitionText(partition)}</text>${cells.join('')}`;
  });
  const bottom = rows.length * ROW_HEIGHT;
  const title = `Days with data, by ${knowsMessages ? 'messages' : 'bytes'}`;
  return svg(title, bottom + 22, `${drawn.join('\n')}${dayLabels(days, cell, bottom + 14)}`);
}

interface Days {
  readonly count: number;
  indexOf(timeMs: number): number;
  between(fromMs: number, toMs: number): number[];
  text(at: number): string;
  readonly startMs: number;
  readonly stepMs: number;
}

function daysOf(groups: readonly DateGroup[], gaps: readonly ReportGap[]): Days {
  const dates = groups.map(({ date }) => Date.parse(date));
  const times = [...dates, ...gaps.flatMap(({ fromMs, toMs }) => [fromMs, toMs])];
  const first = times.reduce((least, one) => Math.min(least, one), Number.POSITIVE_INFINITY);
  const last = times.reduce((most, one) => Math.max(most, one), first);
  const startMs = Math.floor(first / DAY_MS) * DAY_MS;
  const days = Math.floor((last - startMs) / DAY_MS) + 1;
  const stepDays = days > MAX_DAYS ? Math.max(7, Math.ceil(days / MAX_WEEKS)) : 1;
  const stepMs = stepDays * DAY_MS;
  const unit = stepDays === 1 ? '' : stepDays === 7 ? 'week from ' : `${stepDays} days from `;
  const indexOf = (timeMs: number) => Math.floor((timeMs - startMs) / stepMs);
  return {
    ...{ startMs, stepMs, indexOf },
    count: indexOf(last) + 1,
    between: (fromMs, toMs) =>
      Array.from({ length: indexOf(toMs) - indexOf(fromMs) + 1 }, (_, i) => indexOf(fromMs) + i),
    text: (at) => unit + new Date(startMs + at * stepMs).toISOString().slice(0, 10),
  };
}

/** As many as there is room for. */
function dayLabels(days: Days, cell: number, y: number): string {
  const every = Math.max(1, Math.ceil(44 / cell));
  const labels: string[] = [];
  for (let at = 0; at < days.count; at += every) {
    const x = LABEL_WIDTH + at * cell + (cell - 2) / 2;
    const anchor = cell < 30 ? 'start' : 'middle';
    labels.push(
      `<text class="label" x="${x.toFixed(1)}" y="${y}" text-anchor="${anchor}">${dayText(days.startMs + at * days.stepMs, every * days.stepMs)}</text>`,
    );
  }
  return labels.join('');
}

/** How many files there are of each class of sizes; of these sizes, in bytes. */
export function sizeChart(sizes: readonly number[]): string {
  const counts = SIZE_CLASSES.map(() => 0);
  for (const size of sizes) {
    const at = SIZE_CLASSES.findIndex(([, upTo]) => size < upTo);
    counts[at] = (counts[at] as number) + 1;
  }
  const most = Math.max(1, ...counts);
  const rows = SIZE_CLASSES.map(([label], i) => {
    const count = counts[i] as number;
    const width = (count / most) * (WIDTH - LABEL_WIDTH - 120);
    const y = i * 24;
    const bar = `<rect class="lane" x="${LABEL_WIDTH + 24}" y="${y}" width="${WIDTH - LABEL_WIDTH - 120}" height="18"/><rect class="files" x="${LABEL_WIDTH + 24}" y="${y}" width="${width.toFixed(1)}" height="18"/>`;
    const countLabel = `<text class="label count" x="${(LABEL_WIDTH + 32 + width).toFixed(1)}" y="${y + 13}">${numberText(count)}</text>`;
    return `<text class="label" x="0" y="${y + 13}">${label}</text>${bar}${count === 0 ? '' : countLabel}`;
  });
  return svg('Sizes of files', SIZE_CLASSES.length * 24, rows.join('\n'));
}

/** The smallest, the middle and the largest. */
export function sizesText(sizes: readonly number[]): string {
  const inOrder = Float64Array.from(sizes).sort();
  const at = (share: number) => bytesText(inOrder[Math.floor((inOrder.length - 1) * share)] ?? 0);
  return `smallest ${at(0)}, median ${at(0.5)}, largest ${at(1)}`;
}
