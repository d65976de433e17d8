// index.js of the function's package: runs function.js, by the code that V8 made of it when it was packaged, since half of a
// cold start is compiling. Where Node is not the very same, or function.js was changed since, V8 compiles as ever. As a program it
// writes that code, function.cache.
'use strict';
const { createHash } = require('node:crypto');
const { readFileSync, writeFileSync } = require('node:fs');
const { setFlagsFromString } = require('node:v8');
const { Script } = require('node:vm');

const file = `${__dirname}/function.js`;
const cacheFile = `${__dirname}/function.cache`;
// It is plain ASCII.
const source = readFileSync(file, 'latin1');
const code = `(function (exports, require, module, __filename, __dirname) {${source}\n})`;
/**
 * V8 itself looks at its flags, at the length of the source, and at its version but for Node's patches of it: between Node
 * 20.19.0 and 20.20.2 it takes code of the other one, and runs it wrongly.
 */
const machine = JSON.stringify([process.versions, process.platform, process.arch]);
const key = createHash('sha256').update(machine).update(source).digest();

if (require.main === module) {
  setFlagsFromString('--no-lazy');
  const script = new Script(code, { filename: file });
  setFlagsFromString('--lazy');
  // The caller has set it, so that the same source gives the same bytes; the function runs with that of each process.
  setFlagsFromString('--hash-seed=0');
  writeFileSync(cacheFile, Buffer.concat([key, script.createCachedData()]));
} else {
  const script = new Script(code, { filename: file, cachedData: codeFromCache() });
  script.runInThisContext()(exports, require, module, file, __dirname);
}

/** What V8 made of this source; `undefined` where there is none. */
function codeFromCache() {
  try {
    const cache = readFileSync(cacheFile);
    return cache.subarray(0, key.length).equals(key) ? cache.subarray(key.length) : undefined;
  } catch {
    return undefined;
  }
}
