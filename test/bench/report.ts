// Numbers of several rounds as one Markdown table: median, and least and greatest in brackets.
import type { Result } from './sides.ts';
import type { Workload } from './workloads.ts';

/** The middle one, of an even number the lower one; `NaN` of none. */
export const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[(values.length - 1) >> 1] ?? Number.NaN;

/** A cell: the median of the rounds, with what is around it where there are several. */
export function spread(values: readonly number[], digits = 0): string {
  const sorted = [...values].sort((a, b) => a - b);
  const show = (value: number | undefined) => (value ?? Number.NaN).toFixed(digits);
  const middle = show(median(values));
  return sorted.length < 2 ? middle : `${middle} (${show(sorted[0])}–${show(sorted.at(-1))})`;
}

/** A Markdown table. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [head, head.map((_, index) => (index === 0 ? '---' : '--:')), ...rows];
  return `${lines.map((cells) => `| ${cells.join(' | ')} |`).join('\n')}\n`;
}

export const DRAIN_HEAD = ['', 'k msg/s', 'MB/s', 'CPU µs/msg', 'memory over idle, MB'];

/** One side's rounds over one workload. */
export function drainRow(name: string, workload: Workload, results: readonly Result[]): string[] {
  const seconds = (result: Result) => result.wallMs / 1_000;
  return [
    name,
    spread(
      results.map((result) => result.messages / seconds(result) / 1_000),
      1,
    ),
    spread(results.map((result) => (result.messages * workload.size) / seconds(result) / 1e6)),
    spread(
      results.map((result) => (result.cpuMs * 1_000) / result.messages),
      1,
    ),
    spread(results.map((result) => (result.maxRssBytes - result.idleRssBytes) / 1e6)),
  ];
}

/** Says on stderr how far it is; the table alone goes to stdout. */
export const progress = (text: string): void => void process.stderr.write(`${text}\n`);
