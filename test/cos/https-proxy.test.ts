// Whose machines have a proxy reach COS through it: which one that is, and that what is asked there stays between the ends.
import { once } from 'node:events';
import { createServer as createHttp } from 'node:http';
import { createServer as createHttps, get } from 'node:https';
import { type AddressInfo, connect } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { httpsProxyOf, tunnelAgent } from '../../src/cos/https-proxy.ts';
import { type Certificates, makeCertificates } from '../certificates.ts';

const HOST = 'backup-1250000000.cos.ap-guangzhou.myqcloud.com';

test.each<[Record<string, string>, string | undefined]>([
  [{}, undefined],
  [{ HTTPS_PROXY: 'http://p:3128' }, 'http://p:3128/'],
  [{ https_proxy: 'p:3128' }, 'http://p:3128/'],
  [{ HTTP_PROXY: 'http://user:pass@p' }, 'http://user:pass@p/'],
  [{ HTTPS_PROXY: 'http://p', NO_PROXY: '*' }, undefined],
  [{ HTTPS_PROXY: 'http://p', no_proxy: 'localhost, .myqcloud.com' }, undefined],
  [{ HTTPS_PROXY: 'http://p', NO_PROXY: `${HOST}:443` }, undefined],
  [{ HTTPS_PROXY: 'http://p', NO_PROXY: 'cloud.com' }, 'http://p/'],
  [{ HTTPS_PROXY: 'http://' }, undefined],
])('of %j, the proxy is %s', (env, expected) => {
  expect(httpsProxyOf(HOST, env)?.href).toBe(expected);
});

let certificates: Certificates;
beforeAll(() => {
  certificates = makeCertificates();
});
afterAll(() => certificates.remove());

const portOf = (server: { address(): unknown }) => (server.address() as AddressInfo).port;

/** A proxy that answers CONNECT with this status, and how it was asked. */
async function startProxy(status: number) {
  const asked: (string | undefined)[] = [];
  const server = createHttp().on('connect', ({ url = '', headers }, socket) => {
    asked.push(url, headers['proxy-authorization']);
    socket.write(`HTTP/1.1 ${status} So\r\n\r\n`);
    if (status !== 200) {
      socket.end();
      return;
    }
    const target = connect(Number(url.split(':')[1]), '127.0.0.1');
    socket.pipe(target).pipe(socket);
    for (const one of [socket, target]) one.on('error', () => undefined);
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return { asked, url: new URL(`http://me:s%20ecret@127.0.0.1:${portOf(server)}`), server };
}

test('a request goes through the proxy, with its login, and over TLS of the host itself', async () => {
  const proxy = await startProxy(200);
  const [key, cert] = [certificates.text('server.key'), certificates.text('server.pem')];
  const cos = createHttps({ key, cert }, (_request, response) => response.end('from COS'));
  await once(cos.listen(0, '127.0.0.1'), 'listening');
  const agent = tunnelAgent(proxy.url, { keepAlive: true, ca: certificates.text('ca.pem') });
  try {
    const target = { agent, host: '127.0.0.1', port: portOf(cos) };
    for (let i = 0; i < 2; i++) {
      const [response] = await once(get(target), 'response');
      expect(Buffer.concat(await response.toArray()).toString()).toBe('from COS');
    }
    const login = `Basic ${Buffer.from('me:s ecret').toString('base64')}`;
    expect(proxy.asked).toEqual([`127.0.0.1:${portOf(cos)}`, login]);
  } finally {
    agent.destroy();
    cos.close();
    proxy.server.close();
  }
});

test('a proxy that refuses is the error of the request', async () => {
  const proxy = await startProxy(407);
  const agent = tunnelAgent(proxy.url, {});
  const request = get({ agent, host: '127.0.0.1', port: 1 });
  await expect(once(request, 'response')).rejects.toThrow(`the proxy ${proxy.url.host} answered 407`);
  agent.destroy();
  proxy.server.close();
});
