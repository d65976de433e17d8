// Messages of each partition and bytes of all, over time, with what is missing, as SVG. Draws, and computes no coverage.
import type { Coverage } from '../catalog/coverage.ts';
import type { ReportGap } from './missing-times.ts';
import { asText, bytesText, numberText, partitionText, timeText } from './text.ts';

/** Of all drawings, in their own units; a page scales them. */
export const WIDTH = 1000;
export const LABEL_WIDTH = 96;

const LANE_HEIGHT = 30;
const LANE_STEP = 36;
const TOTAL_HEIGHT = 90;
const AXIS_HEIGHT = 24;
const MIN_GAP_WIDTH = 4;
const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;
const MAX_TICKS = 9;
const TICK_STEPS = [1, 5, 15, 30, 60, 180, 360, 720].map((minutes) => minutes * MINUTE_MS);
const TICK_DAYS = [1, 2, 7, 14, 30, 61, 122, 365, 1_000, 3_650, 36_500, 365_000].map((days) => days * DAY_MS);
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

/** `Nov 23`, or the year where a step is about as long as one. */
export function dayText(timeMs: number, stepMs: number): string {
  const date = new Date(timeMs);
  if (stepMs >= 300 * DAY_MS) return String(date.getUTCFullYear());
  return `${MONTHS[date.getUTCMonth()]} ${date.getUTCDate()}`;
}

/** A lane for each partition; the height of a bar is its share of the busiest span. */
export function laneChart(coverage: Coverage, gaps: readonly ReportGap[]): string {
  const { partitions } = coverage;
  const most = partitions.reduce((highest, { messages }) => Math.max(highest, ...messages), 0);
  const height = partitions.length * LANE_STEP;
  const lanes = partitions.map(({ partition, messages }, lane) => {
    const top = lane * LANE_STEP;
    const own = distinctGaps(gaps, partition, coverage);
    const label = `<text class="label" x="0" y="${top + 20}">partition ${partitionText(partition)}</text>`;
    const back = `<rect class="lane" x="${LABEL_WIDTH}" y="${top}" width="${WIDTH - LABEL_WIDTH}" height="${LANE_HEIGHT}"/>`;
    const describe = (count: number) => `${numberText(Math.round(count))} messages`;
    const bars = barsOf(messages, coverage, {
      className: 'messages',
      top,
      height: LANE_HEIGHT,
      most,
      describe,
    });
    return `<g data-partition="${partitionText(partition)}">${label}${back}${bars}${own.map((gap) => gapMark(gap, coverage, top)).join('')}</g>`;
  });
  return svg('Messages over time', height + AXIS_HEIGHT, `${axis(coverage, height)}${lanes.join('\n')}`);
}

/** Bytes of all partitions together, with what the highest bar means. */
export function bytesChart(coverage: Coverage): string {
  const { partitions, spanMs } = coverage;
  const sums = (partitions[0]?.bytes ?? []).map((_, span) =>
    partitions.reduce((sum, { bytes }) => sum + (bytes[span] ?? 0), 0),
  );
  const most = sums.reduce((highest, sum) => Math.max(highest, sum), 0);
  const bars = barsOf(sums, coverage, {
    className: 'bytes',
    top: 0,
    height: TOTAL_HEIGHT,
    most,
    describe: bytesText,
  });
  const scale = `<text class="label" x="0" y="10">${bytesText(most)}</text><text class="label" x="0" y="${TOTAL_HEIGHT}">0</text>`;
  const back = `<rect class="lane" x="${LABEL_WIDTH}" y="0" width="${WIDTH - LABEL_WIDTH}" height="${TOTAL_HEIGHT}"/>`;
  const drawing = `${axis(coverage, TOTAL_HEIGHT)}${scale}${back}${bars}`;
  return svg(`Bytes over time, by ${spanText(spanMs)}`, TOTAL_HEIGHT + AXIS_HEIGHT, drawing);
}

/** The time that one bar covers: `2 h`. */
export function spanText(spanMs: number): string {
  if (spanMs < MINUTE_MS) return `${(spanMs / 1_000).toFixed(1)} s`;
  if (spanMs < 60 * MINUTE_MS) return `${(spanMs / MINUTE_MS).toFixed(1)} min`;
  return spanMs < 2 * DAY_MS
    ? `${(spanMs / 60 / MINUTE_MS).toFixed(1)} h`
    : `${(spanMs / DAY_MS).toFixed(1)} days`;
}

interface Bars {
  readonly className: string;
  readonly top: number;
  readonly height: number;
  readonly most: number;
  readonly describe: (count: number) => string;
}

function barsOf(counts: readonly number[], { fromMs, spanMs }: Coverage, bars: Bars): string {
  const step = (WIDTH - LABEL_WIDTH) / counts.length;
  return counts
    .map((count, span) => {
      if (count === 0) return '';
      const height = Math.max(2, (count / bars.most) * bars.height);
      const [x, y] = [LABEL_WIDTH + span * step, bars.top + bars.height - height];
      const title = asText(`${timeText(fromMs + span * spanMs)}: ${bars.describe(count)}`);
      return `<rect class="${bars.className}" x="${x.toFixed(1)}" y="${y.toFixed(1)}" width="${Math.max(1, step - 0.6).toFixed(1)}" height="${height.toFixed(1)}"><title>${title}</title></rect>`;
    })
    .join('');
}

/** Of gaps that would be drawn over each other the first. */
function distinctGaps(gaps: readonly ReportGap[], partition: number, coverage: Coverage): ReportGap[] {
  const drawn = new Set<string>();
  return gaps.filter((gap) => {
    if (gap.partition !== partition) return false;
    const [from, to] = [gap.fromMs, gap.toMs].map((timeMs) => Math.round(xOf(timeMs, coverage)));
    const place = `${gap.kind} ${from} ${to}`;
    const isNew = !drawn.has(place);
    drawn.add(place);
    return isNew;
  });
}

function gapMark({ kind, fromMs, toMs, detail }: ReportGap, coverage: Coverage, top: number): string {
  const [from, to] = [xOf(fromMs, coverage), xOf(toMs, coverage)];
  const width = Math.max(MIN_GAP_WIDTH, to - from);
  const x = Math.min(from, WIDTH - width);
  return `<rect class="gap" data-kind="${kind}" x="${x.toFixed(1)}" y="${top - 2}" width="${width.toFixed(1)}" height="${LANE_HEIGHT + 4}"><title>${asText(`${timeText(fromMs)} to ${timeText(toMs)}: ${detail}`)}</title></rect>`;
}

function xOf(timeMs: number, { fromMs, toMs }: Coverage): number {
  const share = Math.min(1, Math.max(0, (timeMs - fromMs) / (toMs - fromMs)));
  return LABEL_WIDTH + share * (WIDTH - LABEL_WIDTH);
}

function axis(coverage: Coverage, height: number): string {
  const { fromMs, toMs } = coverage;
  const steps = [...TICK_STEPS, ...TICK_DAYS];
  const step = steps.find((one) => (toMs - fromMs) / one <= MAX_TICKS) ?? (steps.at(-1) as number);
  const ticks: string[] = [];
  for (let timeMs = Math.ceil(fromMs / step) * step; timeMs < toMs; timeMs += step) {
    const x = xOf(timeMs, coverage);
    const isDay = timeMs % DAY_MS === 0;
    const text =
      isDay || step >= DAY_MS ? dayText(timeMs, step) : new Date(timeMs).toISOString().slice(11, 16);
    // The last one would leave the drawing.
    const anchor = x > WIDTH - 30 ? 'end' : 'middle';
    ticks.push(
      `<line class="tick" x1="${x.toFixed(1)}" x2="${x.toFixed(1)}" y1="0" y2="${height + 4}"/><text class="${isDay ? 'label day' : 'label'}" x="${x.toFixed(1)}" y="${height + 18}" text-anchor="${anchor}">${text}</text>`,
    );
  }
  return ticks.join('');
}

/** A drawing of its own. */
export const svg = (title: string, height: number, content: string): string =>
  `<svg viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="${asText(title)}">${content}</svg>`;
