// A socket to a broker, plain or TLS: opens it and reports its events. Knows nothing of what is sent over it.
import { connect as connectTcp, isIP, type OnReadOpts, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { TlsFiles } from '../tls-files.ts';
import type { Address } from './service-url.ts';

const READ_BYTES = 256 * 1024;

/** What a socket reports. */
export interface SocketEvents {
  /** Ready to be written to; TLS is agreed and the server's certificate is good. */
  onOpen(): void;
  /** The bytes are valid until it returns. */
  onData(chunk: Buffer): void;
  onError(error: Error): void;
  onClose(): void;
}

/** Begins to connect. */
export function openSocket(
  { host, port, tls }: Address,
  tlsFiles: TlsFiles,
  { onOpen, onData, onError, onClose }: SocketEvents,
): Socket {
  const socket = tls
    ? connectTls({
        host,
        port,
        ...(isIP(host) === 0 ? { servername: host } : {}),
        ...tlsFiles,
      })
    : connectTcp({ host, port, onread: intoOneBuffer(onData) });
  socket.setNoDelay(true);
  socket.setKeepAlive(true, 30_000);
  socket.once(tls ? 'secureConnect' : 'connect', onOpen);
  socket.on('data', onData);
  socket.once('error', onError);
  socket.once('close', onClose);
  return socket;
}

/** Reads into the same memory again and again. TLS sockets cannot do that. */
function intoOneBuffer(onData: (chunk: Buffer) => void): OnReadOpts {
  const buffer = Buffer.allocUnsafeSlow(READ_BYTES);
  return {
    buffer,
    callback: (bytes) => {
      onData(buffer.subarray(0, bytes));
      return true;
    },
  };
}
