// Keeps V8's young generation small: it would grow to 32 MB and more, which saves no CPU. Only Node's command line
// can limit it, but its growth can be stopped at any time.
import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8';

const LOOK_MS = 20;
const ENOUGH_BYTES = 8_000_000;

/** Stops its growth once it is large enough; an unref'ed timer checks. */
export function keepYoungSpaceSmall(): void {
  const timer = setInterval(() => {
    const young = getHeapSpaceStatistics().find(({ space_name }) => space_name === 'new_space');
    if (young !== undefined && young.space_size < ENOUGH_BYTES) return;
    setFlagsFromString('--semi-space-growth-factor=1');
    clearInterval(timer);
  }, LOOK_MS);
  timer.unref();
}
