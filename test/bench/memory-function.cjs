// Runs the packaged function once, as SCF does, and sends its peak resident memory as the kernel counted it.
const { readFileSync } = require('node:fs');
const { join } = require('node:path');

const { main_handler } = require(join(__dirname, '..', '..', 'dist', 'function', 'index.js'));

process.once('message', async (context) => {
  const result = await main_handler({}, context).catch((error) => ({
    stopReason: String(error),
    messages: 0,
  }));
  const peakKb = Number(/VmHWM:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]);
  const { stopReason, messages } = result;
  process.send({ peakMb: peakKb / 1024, stopReason, messages }, () => process.disconnect());
});
