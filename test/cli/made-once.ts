// What a creation leaves in the loopback cloud. It takes some 25 calls, and many tests begin with the same one: the
// first of a process makes it, the others get a copy.
import { deserialize, serialize } from 'node:v8';
import type { CloudApi } from '../stand-ins/cloud-api/server.ts';
import type { CloudState } from '../stand-ins/cloud-api/state.ts';

interface Left {
  readonly state: Omit<CloudState, 'run' | 'now'>;
  readonly calls: CloudApi['calls'];
}

/** What creations left, by their arguments and what was there before. */
const made = new Map<string, Buffer>();

/** Creates what the arguments say, where that was not done before in a cloud like this one. */
export async function makeOnce(api: CloudApi, args: string[], create: () => Promise<void>): Promise<void> {
  const before = serialize([args, plain(api.state)]).toString('latin1');
  const left = made.get(before);
  if (left !== undefined) return putThere(api, deserialize(left));
  const callsBefore = api.calls.length;
  await create();
  made.set(
    before,
    serialize({ state: plain(api.state), calls: api.calls.slice(callsBefore) } satisfies Left),
  );
}

const plain = ({ run: _, now: __, ...state }: CloudState) => state;

function putThere(api: CloudApi, { state: { clusters, ...state }, calls }: Left): void {
  Object.assign(api.state, state);
  // The tests hold these.
  for (const [id, cluster] of clusters) Object.assign(api.state.clusters.get(id) ?? {}, cluster);
  api.calls.push(...calls);
}
