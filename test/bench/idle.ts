// What a tick with nothing to do costs: most rules pay for little else most of the day. From Node's start to the end of the
// first run (cold), and a run of a process that has run before (warm), with services a round trip of 1 ms away.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { median, progress, spread, table } from './report.ts';
import { MEMORY_MB, ruleEnv } from './sides.ts';
import { CLOSE, type Surroundings } from './surroundings.ts';
import { startDelayProxy } from './tcp-proxy.ts';

const PARTITIONS = [1, 16, 128];
const TICKS_A_DAY = 288;
const HEAD = [
  '',
  'ms cold',
  'times an empty Node',
  'CPU ms cold',
  'ms warm',
  'CPU ms warm',
  'GB-s a day, cold',
  'GB-s a day, warm',
];

interface Tick {
  readonly wallMs: number;
  readonly cpuMs: number;
}

/** The table, as Markdown. */
export async function measureIdle(
  surroundings: Surroundings,
  _scale: number,
  rounds: number,
): Promise<string> {
  const cosPort = () => Number(new URL(surroundings.cosUrl).port);
  const cos = await startDelayProxy(cosPort, CLOSE.roundTripMs);
  try {
    const program = surroundings.programs['idle-process'];
    const empty: Tick[] = [];
    for (let round = 0; round < rounds; round++) empty.push((await ticks([program], {}))[0] as Tick);
    const rows = [
      ['an empty Node process', cells(empty, 'wallMs'), '1', cells(empty, 'cpuMs'), '', '', '', ''],
    ];
    for (const partitions of PARTITIONS) {
      const topic = await surroundings.fill({
        ...{ name: `${partitions} partitions`, topic: `idle_${partitions}`, partitions },
        ...{ count: 0, size: 1, batching: true },
      });
      const subscription = await surroundings.subscribe(topic);
      const env = {
        ...ruleEnv({ surroundings, topic, subscription }),
        PULSAR_LISTENER_NAME: CLOSE.name,
        COS_ENDPOINT: `http://127.0.0.1:${cos.port}`,
        LOG_LEVEL: 'warn',
      };
      const cold: Tick[] = [];
      const warm: Tick[] = [];
      for (let round = 0; round < rounds; round++) {
        const [first, ...others] = await ticks([program, surroundings.programs.function], env);
        cold.push(first as Tick);
        warm.push(...others);
      }
      const ratios = cold.map(({ wallMs }) => wallMs / median(empty.map((one) => one.wallMs)));
      const gbSeconds = (ticks: readonly Tick[]) =>
        spread(
          ticks.map(({ wallMs }) => (wallMs / 1_000) * (MEMORY_MB / 1_024) * TICKS_A_DAY),
          1,
        );
      rows.push([
        `${partitions} partitions`,
        ...[cells(cold, 'wallMs'), spread(ratios, 2), cells(cold, 'cpuMs')],
        ...[cells(warm, 'wallMs'), cells(warm, 'cpuMs'), gbSeconds(cold), gbSeconds(warm)],
      ]);
      progress(rows.at(-1)?.join(' | ') ?? '');
    }
    return table(HEAD, rows);
  } finally {
    await cos.stop();
  }
}

const cells = (ticks: readonly Tick[], field: keyof Tick) => spread(ticks.map((one) => one[field]));

/** The ticks of one process; the first is timed from its start. */
async function ticks(args: readonly string[], env: Record<string, string>): Promise<Tick[]> {
  const startedMs = performance.now();
  const child = spawn(process.execPath, args, { env, stdio: ['ignore', 'ignore', 'inherit', 'pipe'] });
  const ended = once(child, 'exit');
  const found: Tick[] = [];
  let cpuMs = 0;
  for await (const line of createInterface(child.stdio[3] as Readable)) {
    const tick = JSON.parse(line) as Tick;
    const wallMs = found.length === 0 ? performance.now() - startedMs : tick.wallMs;
    found.push({ wallMs, cpuMs: tick.cpuMs - cpuMs });
    cpuMs = tick.cpuMs;
  }
  await ended;
  return found;
}
