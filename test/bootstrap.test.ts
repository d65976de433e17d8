// The custom-runtime loop and /event-invoke, on the Node that runs the tests. The integration suite repeats it on
// Node 18, 20 and 22.
import { runtimeContract } from './runtime-contract.ts';

runtimeContract(() => process.execPath);
