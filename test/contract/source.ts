// The contract of Source (src/ports.ts) as tests, for every adapter over every broker.
import { afterAll, afterEach, beforeAll, describe } from 'vitest';
import {
  describeAcknowledging,
  describeInterruptions,
  describeRestarting,
  describeSharing,
} from './source-acknowledge.ts';
import { SourceContract } from './source-contract.ts';
import { describeDelivery } from './source-delivery.ts';
import { describeClosing, describeOpening } from './source-open.ts';
import { describePositions, describeSchemas, describeSilence } from './source-positions.ts';
import type { SourceCapabilities, SourceSurroundings } from './source-setup.ts';

/** Runs the contract. `start` brings up the surroundings, once for all tests. */
export function describeSourceContract(
  name: string,
  can: SourceCapabilities,
  start: () => Promise<SourceSurroundings>,
): void {
  describe(`the contract of Source: ${name}`, { timeout: 60_000 }, () => {
    const contract = new SourceContract(can, start);
    beforeAll(contract.begin, 180_000);
    afterEach(contract.closeSources);
    afterAll(contract.end);
    describeOpening(contract);
    describeDelivery(contract);
    describeAcknowledging(contract);
    describeRestarting(contract);
    describePositions(contract);
    describeSilence(contract);
    describeSchemas(contract);
    describeInterruptions(contract);
    describeSharing(contract);
    describeClosing(contract);
  });
}
