// A socket to a broker, plain or TLS: opens it and reports its events. Knows nothing of what is sent over it.
import { connect as connectTcp, isIP, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { TlsFiles } from '../tls-files.ts';
import type { Address } from './service-url.ts';

/** What a socket reports. */
export interface SocketEvents {
  /** Ready to be written to; TLS is agreed and the server's certificate is good. */
  onOpen(): void;
  /** Where the next bytes are to be written; then `onFilled` is called with them. */
  room(): Buffer;
  onFilled(chunk: Buffer): void;
  /** Bytes that were received elsewhere: TLS sockets cannot write into memory of ours. */
  onData(chunk: Buffer): void;
  onError(error: Error): void;
  onClose(): void;
}

/** Begins to connect. */
export function openSocket(
  { host, port, tls }: Address,
  tlsFiles: TlsFiles,
  { onOpen, room, onFilled, onData, onError, onClose }: SocketEvents,
): Socket {
  const callback = (bytes: number, buffer: Uint8Array) => {
    onFilled(buffer.subarray(0, bytes) as Buffer);
    return true;
  };
  const socket = tls
    ? connectTls({
        host,
        port,
        ...(isIP(host) === 0 ? { servername: host } : {}),
        ...tlsFiles,
      })
    : connectTcp({ host, port, onread: { buffer: room, callback } });
  socket.setNoDelay(true);
  socket.setKeepAlive(true, 30_000);
  socket.once(tls ? 'secureConnect' : 'connect', onOpen);
  socket.on('data', onData);
  socket.once('error', onError);
  socket.once('close', onClose);
  return socket;
}
