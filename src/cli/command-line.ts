// Gives the command line its process: streams, environment, Ctrl-C, exit code. Everything else is main.ts.
import { setMaxListeners } from 'node:events';
import { setFlagsFromString } from 'node:v8';
import { keepYoungSpaceSmall } from '../lib/young-space.ts';
import { main } from './main.ts';

// V8 complains about a flag that it does not know, and newer ones know others.
const nodeMajor = Number.parseInt(process.versions.node, 10);
if (process.argv[2] === 'archive' && nodeMajor <= 24) {
  // An archive of any size passes through: what it leaves behind is collected early, for half the memory and a tenth of the CPU.
  setFlagsFromString('--heap-growing-percent=30');
  keepYoungSpaceSmall();
  // V8 optimises what has run for some milliseconds; most of a short command's CPU went there, and was not won back.
  if (nodeMajor < 22) setFlagsFromString('--interrupt-budget=2000000');
}

const interrupt = new AbortController();
// Everything that is read at a time listens to it.
setMaxListeners(0, interrupt.signal);
/** One Ctrl-C can come as two signals: from the terminal, and passed on by npx. */
const SAME_MS = 1_000;
const LAST_OUTPUT_MS = 100;
let interruptedAtMs = 0;
// A terminal that is closed interrupts as well: what was begun is not left half-made.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    if (!interrupt.signal.aborted) {
      interruptedAtMs = Date.now();
      interrupt.abort(new Error(`stopped by ${signal}`));
      return;
    }
    // The second time is in earnest: whoever does not end by itself is ended.
    if (signal !== 'SIGHUP' && Date.now() - interruptedAtMs > SAME_MS) process.exit(130);
  });
}
// A reader that has seen enough (`| head`) is no failure, nor the end of what a command does besides printing.
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

// Awaiting it here, at the top, would keep what it loads later from using anything of this file's bundle.
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
  // What was interrupted may wait for something that never comes. What it printed leaves first, where somebody reads it.
  if (interrupt.signal.aborted) setTimeout(() => process.exit(), LAST_OUTPUT_MS).unref();
}
