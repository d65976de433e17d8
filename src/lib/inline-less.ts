// How much bytecode V8 inlines into one hot function. Each process compiles its own, which is up to a third of the CPU of a
// run of seconds; with V8's default of 920 it compiles more, and what it makes runs no faster.
import { setFlagsFromString } from 'node:v8';

const INLINED_BYTECODE = 150;
/** V8 complains on stderr about a flag that it does not know: this is the newest Node that was seen to know it. */
const MAX_NODE_MAJOR = 24;

/** For the rest of the process. It takes some milliseconds of CPU, which a run with nothing to do has no use for. */
export function inlineLess(): void {
  if (Number.parseInt(process.versions.node, 10) <= MAX_NODE_MAJOR)
    setFlagsFromString(`--max-inlined-bytecode-size-cumulative=${INLINED_BYTECODE}`);
}
