// Standard output for what may be long: written in large pieces, no faster than it is read, and given up at Ctrl-C.
import { once } from 'node:events';
import type { Terminal } from '../command.ts';

/** Written at once: a system call per line would be most of the time. */
const CHUNK_LENGTH = 65_536;

export interface Output {
  /** The reader has gone: what is written now is for nobody. */
  readonly isGone: boolean;
  /** Wait for the answer, if there is one, before the next call. @throws the signal's reason at Ctrl-C */
  write(text: string | Buffer): Promise<void> | undefined;
  /** Writes what is left. @throws the signal's reason at Ctrl-C */
  flush(): Promise<void>;
}

/** The standard output of `terminal`; `beforeWriting` takes away what is shown meanwhile. */
export function openOutput(
  { stdout, signal }: Pick<Terminal, 'stdout' | 'signal'>,
  beforeWriting: () => void = () => undefined,
): Output {
  let isGone = false;
  const onGone = () => {
    isGone = true;
  };
  stdout.once('close', onGone);
  stdout.once('error', onGone);
  let chunks: (string | Buffer)[] = [];
  let length = 0;

  async function flush(): Promise<void> {
    const bytes = Buffer.concat(chunks.map((one) => (typeof one === 'string' ? Buffer.from(one) : one)));
    chunks = [];
    length = 0;
    signal.throwIfAborted();
    if (bytes.length === 0 || isGone) return;
    beforeWriting();
    if (stdout.write(bytes)) return;
    // `drain` never comes where the reader has gone, or does not read.
    const over = new AbortController();
    const options = { signal: AbortSignal.any([over.signal, signal]) };
    await Promise.race([once(stdout, 'drain', options), once(stdout, 'close', options)]).catch(() => {
      if (!signal.aborted) onGone();
    });
    over.abort();
    signal.throwIfAborted();
  }

  return {
    get isGone() {
      return isGone;
    },
    write(text) {
      chunks.push(text);
      length += text.length;
      return length >= CHUNK_LENGTH ? flush() : undefined;
    },
    flush,
  };
}
