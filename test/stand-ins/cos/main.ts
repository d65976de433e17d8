// The loopback COS as a process of its own: prints one JSON line with its addresses, and serves until it is ended.
import { parseArgs } from 'node:util';
import { startLoopbackCos } from '../../../src/local/cos/server.ts';
import { startControl } from './control.ts';

const { values } = parseArgs({
  options: {
    dir: { type: 'string' },
    bucket: { type: 'string', default: 'demo-1250000000' },
    region: { type: 'string', default: 'ap-guangzhou' },
    'secret-id': { type: 'string', default: 'AKIDloopback' },
    'secret-key': { type: 'string', default: 'loopback' },
    'session-token': { type: 'string' },
    port: { type: 'string', default: '0' },
    'control-port': { type: 'string', default: '0' },
    /** For benchmarks, see LoopbackCosOptions. */
    'discard-bodies': { type: 'boolean', default: false },
    'no-md5': { type: 'boolean', default: false },
    /** Also end when standard input ends, as it does when the parent dies. */
    'until-stdin-ends': { type: 'boolean', default: false },
  },
});
if (values.dir === undefined) throw new Error('--dir FOLDER is missing: where are the objects to lie?');

const cos = await startLoopbackCos({
  dir: values.dir,
  buckets: [{ name: values.bucket, region: values.region }],
  credentials: {
    secretId: values['secret-id'],
    secretKey: values['secret-key'],
    sessionToken: values['session-token'],
  },
  port: Number(values.port),
  discardBodies: values['discard-bodies'],
  verifyMd5: !values['no-md5'],
});
const control = await startControl(cos, Number(values['control-port']));
const { port, url } = cos;
console.log(JSON.stringify({ url, port, controlUrl: control.url, pid: process.pid, dir: values.dir }));

const end = async () => {
  await Promise.all([control.close(), cos.close()]);
  process.stdin.unref?.();
  process.removeAllListeners('SIGTERM').removeAllListeners('SIGINT');
};
process.once('SIGTERM', () => void end());
process.once('SIGINT', () => void end());
if (values['until-stdin-ends']) process.stdin.once('end', () => void end()).resume();
