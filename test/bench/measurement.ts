// Inside a measured Node process: what a drain cost it. Tells the parent on file descriptor 3.
import { readFileSync, writeSync } from 'node:fs';

/** What one drain in a process of its own cost. Times are those of the drain, without the start of the process. */
export interface Measurement {
  readonly messages: number;
  readonly wallMs: number;
  readonly cpuMs: number;
  /** Resident memory when everything was loaded and nothing had begun, and at its peak. */
  readonly idleRssBytes: number;
  readonly maxRssBytes: number;
}

/** Runs the drain and reports what it cost. */
export async function reportMeasurement(drain: () => Promise<Pick<Measurement, 'messages'>>): Promise<void> {
  const idleRssBytes = process.memoryUsage().rss;
  const startedCpu = process.cpuUsage();
  const startedMs = performance.now();
  const counts = await drain();
  const wallMs = performance.now() - startedMs;
  const cpu = process.cpuUsage(startedCpu);
  const measurement: Measurement = {
    ...counts,
    wallMs,
    cpuMs: (cpu.user + cpu.system) / 1_000,
    idleRssBytes,
    maxRssBytes: peakRssBytes(),
  };
  writeSync(3, JSON.stringify(measurement));
}

/** Not getrusage's: that begins with the size of the parent. */
function peakRssBytes(): number {
  const found = /VmHWM:\s+(\d+) kB/.exec(readFileSync('/proc/self/status', 'utf8'));
  return Number(found?.[1]) * 1_024;
}
