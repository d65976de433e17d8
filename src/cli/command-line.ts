// Gives the command line its process: streams, environment, Ctrl-C, exit code. Everything else is main.ts.
import { setMaxListeners } from 'node:events';
import { setFlagsFromString } from 'node:v8';
import { keepYoungSpaceSmall } from '../lib/young-space.ts';
import { main } from './main.ts';

// V8 prints an error for an unknown flag, and newer versions know others.
const nodeMajor = Number.parseInt(process.versions.node, 10);
if (process.argv[2] === 'archive' && nodeMajor <= 24) {
  // Collect the garbage of a streamed archive early: half the memory for a tenth of the CPU.
  setFlagsFromString('--heap-growing-percent=30');
  keepYoungSpaceSmall();
  // V8 optimises code after some milliseconds; in a short command that takes most of the CPU and does not pay off.
  if (nodeMajor < 22) setFlagsFromString('--interrupt-budget=2000000');
}

const interrupt = new AbortController();
// Everything that is read at a time listens to it.
setMaxListeners(0, interrupt.signal);
/** One Ctrl-C can come as two signals: from the terminal, and passed on by npx. */
const SAME_MS = 1_000;
const LAST_OUTPUT_MS = 100;
let interruptedAtMs = 0;
// Closing the terminal also interrupts, so that nothing is left half-finished.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    if (!interrupt.signal.aborted) {
      interruptedAtMs = Date.now();
      interrupt.abort(new Error(`stopped by ${signal}`));
      return;
    }
    // The second signal ends the process at once.
    if (signal !== 'SIGHUP' && Date.now() - interruptedAtMs > SAME_MS) process.exit(130);
  });
}
// A reader that stops early (`| head`) is not a failure, and does not end the command's other work.
let isOutputLost = false;
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE' || error.code === 'ERR_STREAM_DESTROYED' || isOutputLost) return;
  isOutputLost = true;
  // A short output fails only after the command has ended.
  process.exitCode = Math.max(1, Number(process.exitCode ?? 0));
  process.stderr.write(`tdmq-backup: standard output cannot be written: ${error.message}\n`);
});
// Nobody reads it any more.
process.stderr.on('error', () => {});

// With a top-level await, modules loaded later could not use anything of this file's bundle.
void run();

async function run(): Promise<void> {
  const code = await main(process.argv.slice(2), {
    stdin: process.stdin,
    stdout: process.stdout,
    stderr: process.stderr,
    env: process.env,
    signal: interrupt.signal,
  });
  process.exitCode = isOutputLost ? Math.max(1, code) : code;
  // An interrupted command may wait for ever. Let pending output leave first, if somebody reads it.
  if (interrupt.signal.aborted) setTimeout(() => process.exit(), LAST_OUTPUT_MS).unref();
}
