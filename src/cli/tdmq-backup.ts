#!/usr/bin/env node
// The bin. Loads the command line, or says which Node.js it needs. It imports nothing, and uses no syntax that Node.js 10
// does not have: else an old one would show a SyntaxError instead.
const NEEDED = '20.12';

const isOlder = (version: string, needed: string): boolean => {
  const [own, least] = [version, needed].map((text) => text.split('.').map(Number)) as [number[], number[]];
  return Number(own[0]) - Number(least[0]) < 0 || (own[0] === least[0] && Number(own[1]) < Number(least[1]));
};

if (isOlder(process.versions.node, NEEDED)) {
  process.stderr.write(
    `tdmq-backup needs Node.js ${NEEDED} or later; this is ${process.version} (${process.execPath}).\nInstall a newer one from https://nodejs.org, or with your version manager, and call the command again.\n`,
  );
  process.exitCode = 1;
} else void import('./command-line.ts');
