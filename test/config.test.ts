import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { parseConfig, parseCosConfig, parsePulsarAccess, parseRuleSettings } from '../src/config.ts';
import { BackupError } from '../src/errors.ts';
import { objectKey, unreadableKey } from '../src/format/object-key.ts';
import { visibleText } from '../src/lib/visible-text.ts';
import { VARIABLES } from '../src/settings.ts';

const MINIMAL = {
  RULE_NAME: 'orders-backup',
  PULSAR_SERVICE_URL: 'http://pulsar-abc.tdmq.ap-gz.qcloud.tencenttdmq.com:5035',
  PULSAR_TOPIC: 'pulsar-abc/default/orders',
  PULSAR_SUBSCRIPTION: 'backup',
  COS_BUCKET: 'archive-1250000000',
  COS_REGION: 'ap-guangzhou',
  TENCENTCLOUD_SECRETID: 'AKIDexample',
  TENCENTCLOUD_SECRETKEY: 'not-a-real-key',
};

type Env = Record<string, string | undefined>;

function refusalOf(parse: () => unknown): BackupError {
  try {
    parse();
  } catch (error) {
    if (error instanceof BackupError && error.code === 'config') return error;
    throw error;
  }
  throw new Error('no fault was found');
}

const faultsOf = (env: Env): string => refusalOf(() => parseConfig(env)).message;
const without = (env: Env, ...names: string[]): Env =>
  Object.fromEntries(Object.entries(env).filter(([name]) => !names.includes(name)));

describe('the settings of a rule', () => {
  it('need six variables, and have the documented defaults for the others', () => {
    expect(parseConfig(MINIMAL)).toMatchObject({
      rule: 'orders-backup',
      pulsar: {
        topic: { full: 'persistent://pulsar-abc/default/orders' },
        subscriptionType: 'exclusive',
        initialPosition: 'earliest',
        token: undefined,
        driver: 'wire',
        tdmqRole: undefined,
      },
      cos: { prefix: '', storageClass: 'STANDARD', sse: undefined, endpoint: undefined },
      file: { maxMessages: 5000, maxBytes: 500_000_000, compression: 'none', lingerMinutes: 0 },
      run: { intervalMinutes: 5, reserveSeconds: 15, onUnreadable: 'store', chunkExpiryMinutes: 1440 },
      logLevel: 'info',
    });
  });

  it('take the name and the region of the function where the rule has none of its own', () => {
    const { RULE_NAME: _, COS_REGION: __, ...rest } = MINIMAL;
    const config = parseConfig({ ...rest, SCF_FUNCTIONNAME: 'fn-1', TENCENTCLOUD_REGION: 'ap-beijing' });
    expect(config).toMatchObject({ rule: 'fn-1', cos: { region: 'ap-beijing' } });
  });

  it('refuse a token with what other clients and consoles put around it, and do not show it', () => {
    for (const token of [
      '"the-jwt"',
      "'the-jwt'",
      'token:the-jwt',
      'Token:the-jwt',
      'Bearer the-jwt',
      'the-jwt\n',
    ]) {
      const fault = faultsOf({ ...MINIMAL, PULSAR_TOKEN: token });
      expect(fault).toContain('PULSAR_TOKEN is not valid; expected the key of a TDMQ role (a JWT) alone');
      expect(fault).not.toContain('the-jwt');
    }
    expect(() => parseConfig({ ...MINIMAL, PULSAR_TOKEN: 'the-jwt' })).not.toThrow();
  });

  it('are shown with what nobody sees in them', () => {
    expect(faultsOf({ ...MINIMAL, PULSAR_SUBSCRIPTION: 'a\u200bb' })).toContain('"a\\u200bb"');
  });

  it('have an example that is valid, for every variable', () => {
    for (const [name, { example, schema }] of Object.entries(VARIABLES)) {
      if (name !== 'PULSAR_TOKEN') expect(schema.safeParse(example).success, `${name}=${example}`).toBe(true);
    }
  });

  it('have a default that is valid, where there is one', () => {
    for (const [name, variable] of Object.entries(VARIABLES)) {
      if ('fallback' in variable && variable.fallback !== '') {
        expect(variable.schema.safeParse(variable.fallback).success, name).toBe(true);
      }
    }
  });

  const refused: [keyof typeof VARIABLES, string[]][] = [
    ['RULE_NAME', ['a', 'a b', 'x'.repeat(61), 'ü1']],
    [
      'PULSAR_SERVICE_URL',
      ['localhost:6650', 'ftp://a:1', 'pulsar://', 'pulsar://a:1/path', 'http://user:pw@a:1'],
    ],
    [
      'PULSAR_TOPIC',
      [
        'orders',
        'non-persistent://a/b/c',
        'a/b/',
        'a/b/..',
        'a/b/.',
        'a/../c',
        './b/c',
        'a/b/c\td',
        'a/b/c\u0085d',
      ],
    ],
    ['PULSAR_SUBSCRIPTION', ['a\tb', 'x'.repeat(151), 'a\nb']],
    // What is pasted along: spaces of all widths, marks of bytes, of directions and of no width, and quotes.
    [
      'PULSAR_SUBSCRIPTION',
      [' a', 'a ', 'a\u00a0', '\u3000a', '\ufeffa', 'a\u200bb', 'a\u202e', '"a"', "'a'"],
    ],
    ['COS_PREFIX', [' a/', 'a /', '\u3000a/', '\ufeffa/', 'a/b\u200b/', '\u202aa/']],
    ['PULSAR_SUBSCRIPTION_TYPE', ['Exclusive', 'none']],
    ['PULSAR_INITIAL_POSITION', ['first']],
    ['PULSAR_DRIVER', ['java']],
    ['COS_BUCKET', ['archive', 'Archive-1250000000', 'archive-abc']],
    ['COS_REGION', ['ap-nowhere']],
    [
      'COS_PREFIX',
      [
        'tdmq',
        '/tdmq/',
        'a//b/',
        'a\u0007/',
        '_runs/',
        'a/_unreadable/',
        '_schemas/',
        'a/_copies/',
        '_contents/b/',
        '_restores/',
        'a/../b/',
        '../a/',
        './',
        'a/./b/',
        'a/..',
      ],
    ],
    ['COS_STORAGE_CLASS', ['standard']],
    ['COS_SSE', ['aes256']],
    ['COS_ENDPOINT', ['127.0.0.1:9000', 'http://a:1/b', 'http://a:1,b:2']],
    ['FILE_MAX_MESSAGES', ['0', '5001', '1.5', 'many', '-1', '1e3']],
    ['FILE_MAX_BYTES', ['1048575', '500000001', '500MB']],
    ['FILE_COMPRESSION', ['lz4']],
    ['FILE_LINGER_MINUTES', ['-1', '721', '1.5', '1h']],
    ['RUN_INTERVAL_MINUTES', ['4', '16']],
    ['RUN_RESERVE_SECONDS', ['0', '601']],
    ['RUN_ON_UNREADABLE', ['skip']],
    ['RUN_CHUNK_EXPIRY_MINUTES', ['0', '525601', '1.5']],
    ['LOG_LEVEL', ['verbose']],
  ];
  it.each(refused)('refuse a wrong %s, with what was expected and an example', (name, values) => {
    for (const value of values) {
      const fault = faultsOf({ ...MINIMAL, [name]: value });
      expect(fault, value).toContain(
        `${name} is ${visibleText(JSON.stringify(value))}; expected ${VARIABLES[name].expected}`,
      );
      expect(fault).toContain(`for example ${VARIABLES[name].example}`);
    }
  });
});

describe("COS's limit for keys", () => {
  const topicOf = (topic: string) => ({ ...MINIMAL, PULSAR_TOPIC: `t/n/${topic}` });

  it('is held against the bytes of prefix and topic, not against their characters', () => {
    expect(() => parseConfig(topicOf('订'.repeat(250)))).not.toThrow();
    expect(faultsOf(topicOf('订'.repeat(255)))).toMatch(
      /COS_PREFIX and PULSAR_TOPIC are too long together.*850/,
    );
    expect(faultsOf({ ...topicOf('x'.repeat(600)), COS_PREFIX: `${'y'.repeat(200)}/` })).toMatch(/850/);
    expect(() => parseConfig(topicOf('x'.repeat(600)))).not.toThrow();
  });

  it('fits the longest key that there can be, to the byte', () => {
    const fits = (length: number) => {
      try {
        return parseConfig(topicOf('x'.repeat(length))) !== undefined;
      } catch {
        return false;
      }
    };
    const most = Array.from({ length: 850 }, (_, length) => length + 1).filter(fits).length;
    const id = {
      ledgerId: 2 ** 53 - 1,
      entryId: 2 ** 53 - 1,
      partition: 2 ** 31 - 1,
      batchIndex: 2 ** 31 - 1,
    };
    const topic = { tenant: 't', namespace: 'n', topic: 'x'.repeat(most) };
    expect(objectKey('', topic, { id, publishTimeMs: Date.UTC(9999, 0) }, 'zstd')).toHaveLength(850);
    expect(unreadableKey('', topic, id.partition, id).length).toBeLessThan(850);
  });

  it("counts the rule's manifests too, where the prefix is long and the topic short", () => {
    const rule = { ...topicOf('x'), RULE_NAME: 'r'.repeat(60) };
    expect(faultsOf({ ...rule, COS_PREFIX: `${'订'.repeat(240)}/` })).toMatch(/850/);
    expect(() => parseConfig({ ...rule, COS_PREFIX: `${'订'.repeat(210)}/` })).not.toThrow();
  });
});

describe('the error of wrong settings', () => {
  it('lists every fault at once', () => {
    const fault = faultsOf({ PULSAR_TOPIC: 'x', FILE_MAX_MESSAGES: '9999', COS_PREFX: 'a/' });
    for (const name of [
      'RULE_NAME',
      'PULSAR_SERVICE_URL',
      'PULSAR_TOPIC',
      'PULSAR_SUBSCRIPTION',
      'COS_BUCKET',
      'COS_REGION',
    ]) {
      expect(fault).toContain(name);
    }
    expect(fault).toContain('FILE_MAX_MESSAGES is "9999"');
    expect(fault).toContain('COS_PREFX is not a setting; did you mean COS_PREFIX?');
    expect(fault).toContain('TENCENTCLOUD_SECRETKEY is not set');
  });

  it('has them as data too, each with the setting that it is about, whatever the value contains', () => {
    const odd = "a | 2 of the rule's settings are wrong: b";
    const error = refusalOf(() =>
      parseConfig({ ...MINIMAL, COS_PREFIX: odd, PULSAR_TOKN: 'x', COS_SSE_KMS_KEY_ID: 'abc' }),
    );
    expect(error.faults.map(({ setting }) => setting)).toEqual([
      'COS_PREFIX',
      'PULSAR_TOKN',
      'COS_SSE_KMS_KEY_ID',
    ]);
    expect(error.faults[0]?.text).toContain(JSON.stringify(odd));
    const texts = error.faults.map(({ text }) => text);
    expect(error.message).toBe(`3 of the rule's settings are wrong: ${texts.join(' | ')}`);
  });

  it('names the nearest known variable for a mistyped one, and leaves foreign variables alone', () => {
    expect(faultsOf({ ...MINIMAL, PULSAR_TOKN: 'x' })).toContain('did you mean PULSAR_TOKEN?');
    expect(faultsOf({ ...MINIMAL, FILE_MAX_SIZE: '1' })).toMatch(
      /FILE_MAX_SIZE is not a setting; did you mean FILE_MAX_/,
    );
    expect(() => parseConfig({ ...MINIMAL, PATH: '/bin', SCF_ANYTHING: 'x', NODE_ENV: 'x' })).not.toThrow();
  });

  it('says that a value is the text "undefined", which a tool of deployment can leave for what is not set', () => {
    expect(faultsOf({ ...MINIMAL, COS_BUCKET: 'undefined' })).toContain('COS_BUCKET is the text "undefined"');
  });

  it('names settings that contradict each other', () => {
    expect(faultsOf({ ...MINIMAL, TDMQ_CLUSTER_ID: 'pulsar-abc' })).toContain('go together');
    const both = { TDMQ_CLUSTER_ID: 'pulsar-abc', TDMQ_ROLE_NAME: 'reader', PULSAR_TOKEN: 'abc' };
    expect(faultsOf({ ...MINIMAL, ...both })).toContain('exclude each other');
    expect(faultsOf({ ...MINIMAL, COS_SSE_KMS_KEY_ID: 'abc' })).toContain('needs COS_SSE=cos/kms');
    for (const name of ['PULSAR_TLS_CERT_FILE', 'PULSAR_TLS_KEY_FILE']) {
      expect(faultsOf({ ...MINIMAL, [name]: '/var/user/x.pem' })).toContain(
        'PULSAR_TLS_CERT_FILE and PULSAR_TLS_KEY_FILE go together',
      );
    }
  });

  it('refuse a linger where acknowledgements have no order, and name the two settings', () => {
    for (const type of ['shared', 'key_shared']) {
      const env = { ...MINIMAL, PULSAR_SUBSCRIPTION_TYPE: type };
      expect(faultsOf({ ...env, FILE_LINGER_MINUTES: '60' })).toContain(
        'FILE_LINGER_MINUTES=60 needs PULSAR_SUBSCRIPTION_TYPE exclusive or failover',
      );
      expect(parseConfig({ ...env, FILE_LINGER_MINUTES: '0' }).file.lingerMinutes).toBe(0);
    }
    for (const type of ['exclusive', 'failover']) {
      const env = { ...MINIMAL, PULSAR_SUBSCRIPTION_TYPE: type, FILE_LINGER_MINUTES: '720' };
      expect(parseConfig(env).file.lingerMinutes).toBe(720);
    }
  });

  it('never holds a secret, and neither do the settings when they are printed', () => {
    const secrets = {
      PULSAR_TOKEN: 'to ken-secret',
      TENCENTCLOUD_SECRETKEY: 'key-secret',
      TENCENTCLOUD_SESSIONTOKEN: 'session-secret',
    };
    expect(faultsOf({ ...MINIMAL, ...secrets })).not.toContain('secret"');
    const config = parseConfig({ ...MINIMAL, ...secrets, PULSAR_TOKEN: 'token-secret' });
    for (const text of [JSON.stringify(config), inspect(config, { depth: 9 }), String(config.pulsar.token)]) {
      expect(text).not.toMatch(/(token|key|session)-secret/);
    }
    expect(config.pulsar.token?.reveal()).toBe('token-secret');
    expect(config.cos.credentials.sessionToken?.reveal()).toBe('session-secret');
  });
});

describe('settings of which only a part is needed', () => {
  const PULSAR = ['RULE_NAME', 'PULSAR_SERVICE_URL', 'PULSAR_TOPIC', 'PULSAR_SUBSCRIPTION'];
  const KEYS = ['TENCENTCLOUD_SECRETID', 'TENCENTCLOUD_SECRETKEY'];
  const settingsOf = (parse: () => unknown) => refusalOf(parse).faults.map(({ setting }) => setting);

  it('are those for COS where an archive is read: nothing else is asked for', () => {
    const env = { ...without(MINIMAL, ...PULSAR), COS_PREFIX: 'a/' };
    expect(parseCosConfig(env, 'shell')).toEqual(parseConfig({ ...MINIMAL, COS_PREFIX: 'a/' }, 'shell').cos);
    expect(settingsOf(() => parseCosConfig({}, 'shell'))).toEqual(['COS_BUCKET', 'COS_REGION', ...KEYS]);
  });

  it('are refused all the same where another one is wrong', () => {
    const env = { ...MINIMAL, FILE_MAX_MESSAGES: '9999' };
    expect(settingsOf(() => parseCosConfig(env, 'shell'))).toEqual(['FILE_MAX_MESSAGES']);
    expect(settingsOf(() => parsePulsarAccess(env, 'shell'))).toEqual(['FILE_MAX_MESSAGES']);
  });

  it('are refused all the same where a name is mistyped', () => {
    const env = { ...MINIMAL, PULSAR_TOPC: 'a/b/c', COS_PREFX: 'a/' };
    expect(settingsOf(() => parseCosConfig(env, 'shell'))).toEqual(['COS_PREFX', 'PULSAR_TOPC']);
    expect(settingsOf(() => parsePulsarAccess(env, 'shell'))).toEqual(['COS_PREFX', 'PULSAR_TOPC']);
  });

  it('are those of the connection where messages are published', () => {
    const env = { PULSAR_SERVICE_URL: 'pulsar://a:1/', PULSAR_TOKEN: 'abc' };
    const { pulsar, api } = parsePulsarAccess(env, 'shell');
    expect(pulsar).toMatchObject({ serviceUrl: 'pulsar://a:1', tdmqRole: undefined, runsFrom: 'shell' });
    expect(pulsar.token?.reveal()).toBe('abc');
    expect(api).toBeUndefined();
  });

  it('are API keys and a region too where the key of a role is to be read', () => {
    const role = { TDMQ_CLUSTER_ID: 'pulsar-abc', TDMQ_ROLE_NAME: 'writer' };
    const env = { PULSAR_SERVICE_URL: 'pulsar://a:1', ...role };
    expect(settingsOf(() => parsePulsarAccess(env, 'shell'))).toEqual(['COS_REGION', ...KEYS]);
    const { pulsar, api } = parsePulsarAccess({ ...MINIMAL, ...role }, 'shell');
    expect(pulsar.tdmqRole).toEqual({ clusterId: 'pulsar-abc', roleName: 'writer' });
    expect(api).toMatchObject({ region: 'ap-guangzhou', credentials: { secretId: 'AKIDexample' } });
    expect(settingsOf(() => parsePulsarAccess({ ...env, TDMQ_ROLE_NAME: '' }, 'shell'))).toContain(
      'TDMQ_CLUSTER_ID',
    );
  });

  it('are no API keys where the rule runs elsewhere', () => {
    const { credentials: _, ...cos } = parseConfig(MINIMAL).cos;
    expect(parseRuleSettings(without(MINIMAL, ...KEYS))).toEqual({ ...parseConfig(MINIMAL), cos });
  });
});
