// Peak memory (VmHWM) of the packaged function, by the memory SCF gives it. `npm run bench:memory`
// prints a Markdown table, in MiB as SCF counts them; `-- PART…` only cases whose names contain one. Linux only: it reads /proc. The stand-ins share its machine, so it says nothing of speed.
import { MEMORY_CASES, peakMemory } from './memory-cases.ts';

const SIZES_MB = [128, 256, 512];
const wanted = process.argv.slice(2);

const write = (line: string) => process.stdout.write(`${line}\n`);
write(`| MiB at the peak, draining | ${SIZES_MB.map((mb) => `${mb} MB`).join(' | ')} |`);
write(`|---|${SIZES_MB.map(() => '---:').join('|')}|`);
for (const one of MEMORY_CASES) {
  if (wanted.length > 0 && !wanted.some((part) => one.name.includes(part))) continue;
  const cells: string[] = [];
  for (const memoryMb of SIZES_MB) {
    const { peakMb, stopReason, messages } = await peakMemory(one, memoryMb);
    const isWhole = stopReason === 'caught_up' && messages === one.messages;
    cells.push(`${peakMb.toFixed(0)}${isWhole ? '' : ` (${stopReason}, ${messages} messages)`}`);
  }
  write(`| ${one.name} | ${cells.join(' | ')} |`);
}
