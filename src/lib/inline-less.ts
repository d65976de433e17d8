// Limits how much bytecode V8 inlines into one hot function. Compiling takes up to a third of the CPU of a short run;
// with V8's default of 920 it takes more, and the code runs no faster.
import { setFlagsFromString } from 'node:v8';

const INLINED_BYTECODE = 150;
/** V8 prints an error for an unknown flag: this is the newest tested Node version that knows it. */
const MAX_NODE_MAJOR = 24;

/** Applies to the rest of the process. Takes some milliseconds of CPU, so empty runs do not call it. */
export function inlineLess(): void {
  if (Number.parseInt(process.versions.node, 10) <= MAX_NODE_MAJOR)
    setFlagsFromString(`--max-inlined-bytecode-size-cumulative=${INLINED_BYTECODE}`);
}
