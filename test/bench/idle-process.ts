// Invokes the packaged function (its file is the argument) on a drained topic, cold and then warm, and reports each on file
// descriptor 3 as a line when it ends. Without a file it reports its own start: an empty Node process.
import { writeSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { ScfContext } from '../../src/run/run-plan.ts';

const WARM_RUNS = 5;
const [functionFile] = process.argv.slice(2);
const context: ScfContext = {
  request_id: 'bench',
  function_name: 'bench',
  memory_limit_in_mb: 512,
  time_limit_in_ms: 900_000,
};

/** Not performance.now(), which takes a millisecond or two of CPU to load. */
const nowMs = (): number => Number(process.hrtime.bigint()) / 1e6;

/** CPU since the start of the process, and time since `startedMs`. */
function report(startedMs: number): void {
  const { user, system } = process.cpuUsage();
  const line = { cpuMs: (user + system) / 1_000, wallMs: nowMs() - startedMs };
  writeSync(3, `${JSON.stringify(line)}\n`);
}

async function runAll(file: string): Promise<void> {
  const { main_handler } = createRequire(file)(file) as {
    main_handler(event: unknown, context: ScfContext): Promise<unknown>;
  };
  for (let run = 0; run <= WARM_RUNS; run++) {
    const startedMs = nowMs();
    await main_handler({ Type: 'Timer' }, context);
    report(startedMs);
  }
}

if (functionFile === undefined) report(nowMs());
else void runAll(functionFile);
