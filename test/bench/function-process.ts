// Invokes the packaged function (its file and the memory limit are the arguments) once, in a process of its own, measured.
import { createRequire } from 'node:module';
import type { Summary } from '../../src/format/run-manifest.ts';
import type { ScfContext } from '../../src/run/run-plan.ts';
import { reportMeasurement } from './measurement.ts';

const [functionFile = '', memoryMb = '512'] = process.argv.slice(2);
const { main_handler } = createRequire(functionFile)(functionFile) as {
  main_handler(event: unknown, context: ScfContext): Promise<Summary>;
};
const context: ScfContext = {
  request_id: 'bench',
  function_name: 'bench',
  memory_limit_in_mb: Number(memoryMb),
  time_limit_in_ms: 900_000,
};
void reportMeasurement(async () => {
  const { messages } = await main_handler({ Type: 'Timer' }, context);
  return { messages };
});
