// One instance of the function that is invoked again and again: each message is an environment's changes and a context.
// It ends when it is disconnected, by nothing but an empty event loop.
const { join } = require('node:path');

const { main_handler } = require(join(__dirname, '..', '..', 'dist', 'function', 'index.js'));

process.on('message', async ({ env, context }) => {
  Object.assign(process.env, env);
  const summary = await main_handler({}, context).catch((error) => ({ stopReason: String(error) }));
  process.send(summary);
});
