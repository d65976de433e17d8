// Keeps the part of V8's memory small in which everything begins: it would grow to 32 MB and more, which saves no CPU. V8
// takes a limit of it only on Node's command line, but its growth can be stopped at any time.
import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8';

const LOOK_MS = 20;
const ENOUGH_BYTES = 8_000_000;

/** Stops its growth where it is large enough; a timer looks, which keeps no process alive. */
export function keepYoungSpaceSmall(): void {
  const timer = setInterval(() => {
    const young = getHeapSpaceStatistics().find(({ space_name }) => space_name === 'new_space');
    if (young !== undefined && young.space_size < ENOUGH_BYTES) return;
    setFlagsFromString('--semi-space-growth-factor=1');
    clearInterval(timer);
  }, LOOK_MS);
  timer.unref();
}
