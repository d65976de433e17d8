// Whether pulsar-client and its binding load on this machine. Where they do, tests run over them; where they do not,
// the tests assert what the driver says then. The output says which of the two it is: nothing is passed over in silence.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { expect, it } from 'vitest';
import { messageOf } from '../../src/errors.ts';
import { loadPulsarClient, reportsEncryption } from '../../src/pulsar/native/addon.ts';
import { createNativeSource, importPulsarClient } from '../../src/pulsar/native/source.ts';
import { parseTopicName, type TopicName } from '../../src/topic-name.ts';
import { contractOptions } from './contract-options.ts';
import { describeSourceContract } from './source.ts';
import type { SourceCapabilities, SourceSurroundings } from './source-setup.ts';

/** A pulsar-client that loads. */
export interface NativeBinding {
  readonly version: string;
  readonly can: SourceCapabilities;
}

/** The pulsar-client that loads here, or none; says on the output what that means for `tests`. */
export async function findNativeBinding(tests: string): Promise<NativeBinding | undefined> {
  try {
    const loaded = await loadPulsarClient(importPulsarClient);
    const version = installedVersion();
    console.info(`pulsar-client ${version} loads here: ${tests} run over it`);
    const origin = 'getProducerName' in (loaded.Message?.prototype ?? {});
    return { version, can: nativeCapabilities(reportsEncryption(loaded), origin) };
  } catch (error) {
    console.info(`${tests} cannot run here, only what is said then is tested: ${messageOf(error)}`);
    return undefined;
  }
}

function installedVersion(): string {
  const manifest = createRequire(import.meta.url).resolve('pulsar-client/package.json');
  return (JSON.parse(readFileSync(manifest, 'utf8')) as { version: string }).version;
}

/** Runs the contract over pulsar-client where it loads; else one test of the error. */
export async function describeNativeWhereItLoads(
  broker: string,
  start: () => Promise<SourceSurroundings>,
): Promise<void> {
  const binding = await findNativeBinding(`the contract of Source, native over ${broker},`);
  if (binding !== undefined) {
    describeSourceContract(`native over ${broker}, pulsar-client ${binding.version}`, binding.can, start);
    return;
  }
  it(`pulsar-client does not load here, and PULSAR_DRIVER=native over ${broker} says how to get it`, async () => {
    const topic = parseTopicName('public/default/orders') as TopicName;
    const source = createNativeSource(contractOptions({ serviceUrl: 'pulsar://127.0.0.1:1', topic }));
    await expect(source.open()).rejects.toMatchObject({
      code: 'config',
      message: expect.stringContaining('PULSAR_DRIVER=native'),
      hint: expect.stringContaining('PULSAR_DRIVER=wire'),
    });
    await source.close();
  });
}

/** What a version of pulsar-client can do: hand over encrypted entries as such, report a message's origin. */
export const nativeCapabilities = (encrypted: boolean, origin: boolean): SourceCapabilities => ({
  exactEnd: false,
  backlog: false,
  receipts: false,
  exactFields: false,
  origin,
  encrypted,
  failoverSignals: false,
  explainsSilence: false,
  positions: false,
});
