// The proxy that HTTPS_PROXY and its like name, as other HTTP clients read them, and connections through it (CONNECT).
import { request as requestHttp } from 'node:http';
import { type AgentOptions, Agent as HttpsAgent, request as requestHttps } from 'node:https';
import type { Duplex } from 'node:stream';
import { connect as connectTls } from 'node:tls';
import type { Environment } from '../read-settings.ts';

const CONNECT_TIMEOUT_MS = 3_000;

/** The proxy for https:// at this host; `undefined` where there is none, or NO_PROXY names the host. */
export function httpsProxyOf(host: string, env: Environment): URL | undefined {
  const first = (...names: string[]) => names.map((name) => env[name]).find(Boolean);
  const direct = (first('NO_PROXY', 'no_proxy') ?? '').split(',').map((one) => one.trim().toLowerCase());
  const isDirect = direct.some((one) => {
    const name = one.replace(/^\*?\./, '').replace(/:443$/, '');
    return one === '*' || (name !== '' && (host === name || host.endsWith(`.${name}`)));
  });
  const proxy = first('HTTPS_PROXY', 'https_proxy', 'HTTP_PROXY', 'http_proxy');
  if (proxy === undefined || isDirect) return undefined;
  try {
    return new URL(/^https?:\/\//i.test(proxy) ? proxy : `http://${proxy}`);
  } catch {
    return undefined;
  }
}

/** An agent whose connections go through the proxy; it sees the names of hosts, and nothing of what is asked there. */
export function tunnelAgent(proxy: URL, options: AgentOptions): HttpsAgent {
  const agent = new HttpsAgent(options);
  // The way that Node has for agents whose connections take a while; its types do not know it.
  type Connected = (error: Error | null, socket?: Duplex) => void;
  const connect = (target: AgentOptions, done: Connected): void => {
    const { hostname, port, username, password, protocol } = proxy;
    const login = Buffer.from(`${decodeURIComponent(username)}:${decodeURIComponent(password)}`);
    const to = `${target.host}:${target.port}`;
    const asked = (protocol === 'https:' ? requestHttps : requestHttp)({
      ...{ host: hostname, ...(port !== '' && { port }), method: 'CONNECT', path: to, agent: false },
      headers: {
        host: to,
        ...(username !== '' && { 'proxy-authorization': `Basic ${login.toString('base64')}` }),
      },
      timeout: CONNECT_TIMEOUT_MS,
    });
    asked.once('timeout', () => asked.destroy(new Error(`the proxy ${proxy.host} does not answer`)));
    asked.once('error', done);
    asked.once('connect', ({ statusCode }, socket) => {
      asked.off('error', done);
      if (statusCode === 200) return done(null, connectTls({ ...target, socket }));
      socket.destroy();
      done(new Error(`the proxy ${proxy.host} answered ${statusCode}`));
    });
    asked.end();
  };
  return Object.assign(agent, { createConnection: connect });
}
