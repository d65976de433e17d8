// A socket to a broker, plain or TLS: opened, its events told. It knows nothing of what is sent over it.
import { connect as connectTcp, isIP, type OnReadOpts, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { BackupError } from '../../errors.ts';
import type { Address } from './service-url.ts';

const READ_BYTES = 256 * 1024;

/** What is told of a socket. */
export interface SocketEvents {
  /** Ready to be written to; TLS is agreed and the server's certificate is good. */
  onOpen(): void;
  /** The bytes are valid until it returns. */
  onData(chunk: Buffer): void;
  onError(error: Error): void;
  onClose(): void;
}

/** Begins to connect. `tlsCa`: PEM; `undefined`: the system's certificate authorities. */
export function openSocket(
  { host, port, tls }: Address,
  tlsCa: Buffer | undefined,
  { onOpen, onData, onError, onClose }: SocketEvents,
): Socket {
  const socket = tls
    ? connectTls({
        host,
        port,
        ...(isIP(host) === 0 ? { servername: host } : {}),
        ...(tlsCa === undefined ? {} : { ca: tlsCa }),
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

const TLS_FAULT = /CERT|SELF_SIGNED|UNABLE_TO|ALTNAME|ERR_TLS|ERR_SSL|EPROTO/;

/** A failed socket as a BackupError: certificates are not worth a retry, networks are. */
export function socketError(name: string, error: Error): BackupError {
  const code = (error as NodeJS.ErrnoException).code ?? '';
  const isTls = TLS_FAULT.test(code);
  return new BackupError('source', `${name} cannot be reached: ${error.message}`, {
    retryable: !isTls,
    hint: isTls
      ? "TLS failed: the server's certificate must be valid for this host name; set PULSAR_TLS_CA_FILE if it is signed by a CA of your own, and check that this port speaks TLS."
      : 'Check PULSAR_SERVICE_URL, and that the function is in a VPC and subnet that reach the cluster.',
    cause: error,
    details: code === '' ? {} : { errno: code },
  });
}
