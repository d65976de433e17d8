// The entry of the SCF event function: handler `index.main_handler`. Keeps nothing from one invocation to the next.
import type { Summary } from './format/run-manifest.ts';
import { handleInvocation } from './handler.ts';
import type { ScfContext } from './run/run-plan.ts';

/** Called by the timer; a run needs nothing from the event. Returns the run's summary, or throws. */
export async function main_handler(_event: unknown, context: ScfContext): Promise<Summary> {
  return await handleInvocation(process.env, context);
}
