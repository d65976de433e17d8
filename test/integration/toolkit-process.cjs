// Runs Tencent's tencent-component-toolkit, which the Serverless Framework deploys functions with, as its scf component
// does. argv: the folder that it is installed in, and a JSON of command, inputs, credentials and region. Its requests
// go through HTTP_PROXY, signed as the API's third version, so that values keep their types; COS is left out.
'use strict';
const { createRequire } = require('node:module');
const { join } = require('node:path');

const [folder, task] = process.argv.slice(2);
const { command, inputs, credentials, region } = JSON.parse(task);
const load = createRequire(join(folder, 'package.json'));

const { Capi } = load('@tencent-sdk/capi');
const send = Capi.prototype.request;
Capi.prototype.request = function request(data, options) {
  return send.call(this, data, { ...options, isV3: true, protocol: 'http' });
};

// The component's name for a function that has none, in the stage that the framework takes where none is given.
inputs.name ??= 'tdmq-backup-dev-tdmq-backup';

const { Scf } = load('tencent-component-toolkit');
const scf = new Scf(credentials, region);
const work =
  command === 'deploy'
    ? scf.deploy({
        ...inputs,
        code: { bucket: `sls-cloudfunction-${region}-code`, object: `/scf_component-${inputs.name}.zip` },
      })
    : scf.remove({ functionName: inputs.name });
work
  .then((done) => {
    if (done !== false) return;
    throw new Error('the toolkit reports a failure');
  })
  .catch((error) => {
    console.error(error);
    process.exitCode = 1;
  });
