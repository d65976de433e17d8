// Does what SCF does with the packaged function: requires it, calls its handler once, and is ended by nothing but an
// empty event loop. invoke.ts forks it, sends the context, and gets back what the handler returned or threw.
const { join } = require('node:path');

const { main_handler } = require(join(__dirname, '..', '..', 'dist', 'function', 'index.js'));

process.once('disconnect', () => process.exit(1)); // the test is gone
process.once('message', async (context) => {
  const event = {
    Type: 'Timer',
    TriggerName: 'every-5-minutes',
    Time: new Date().toISOString(),
    Message: '',
  };
  let outcome;
  try {
    outcome = { returned: await main_handler(event, context) };
  } catch (error) {
    outcome = { thrown: { name: error.name, message: error.message, hint: error.hint, code: error.code } };
  }
  process.send(outcome, () => {
    process.removeAllListeners('disconnect');
    process.disconnect();
  });
});
