// What commands ask of a bucket: settings, and small objects that may be replaced.
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type CosStore, createCosStore } from '../../src/cos/store.ts';
import { keepingLogger } from '../fakes/loggers.ts';
import { cosConfig, refused, startAnsweringServer } from './answering-server.ts';
import { type Loopback, startLoopback } from './loopback.ts';

let loopback: Loopback;
let store: CosStore;
beforeEach(async () => {
  loopback = await startLoopback();
  store = createCosStore(cosConfig(loopback.cos.url), { logger: keepingLogger() });
});
afterEach(async () => {
  await store.close();
  await loopback.end();
});

const attributes = { metadata: {}, contentType: 'application/json' };
const bodyOf = (text: string) => ({ chunks: [Buffer.from(text)], sizeBytes: Buffer.byteLength(text) });

test('a small object can be replaced and removed, also twice', async () => {
  await store.admin.putReplaceable('progress.json', bodyOf('1'), attributes);
  await store.admin.putReplaceable('progress.json', bodyOf('22'), attributes);
  expect(loopback.cos.object('progress.json')?.bytes.toString()).toBe('22');
  await store.admin.remove('progress.json');
  await store.admin.remove('progress.json');
  await expect(store.head('progress.json')).resolves.toBeUndefined();
});

test('the versioning of a bucket is reported', async () => {
  await expect(store.admin.getVersioning()).resolves.toBe('never');
  loopback.cos.setVersioning('Suspended');
  await expect(store.admin.getVersioning()).resolves.toBe('Suspended');
});

test('a bucket that is there is reached, one that is not is an error', async () => {
  await expect(store.admin.headBucket()).resolves.toHaveProperty('region');
  const other = createCosStore(cosConfig(loopback.cos.url, { bucket: 'nothing-1250000000' }), {
    logger: keepingLogger(),
  });
  await expect(other.admin.headBucket()).rejects.toMatchObject({ details: { status: 404 } });
  await other.close();
});

test('lifecycle rules are reported, and none where there are none', async () => {
  const server = await startAnsweringServer((_request, response) => {
    response.end(`<LifecycleConfiguration>
      <Rule><ID>uploads</ID><Status>Enabled</Status><Filter><Prefix>p/</Prefix></Filter>
        <AbortIncompleteMultipartUpload><DaysAfterInitiation>1</DaysAfterInitiation></AbortIncompleteMultipartUpload></Rule>
      <Rule><ID>old</ID><Status>Disabled</Status><Filter/><Expiration><Days>30</Days></Expiration></Rule>
    </LifecycleConfiguration>`);
  });
  const other = createCosStore(cosConfig(server.endpoint), { logger: keepingLogger() });
  await expect(other.admin.getLifecycle()).resolves.toEqual([
    { id: 'uploads', isEnabled: true, prefix: 'p/', abortUploadsAfterDays: 1, expireAfterDays: undefined },
    { id: 'old', isEnabled: false, prefix: '', abortUploadsAfterDays: undefined, expireAfterDays: 30 },
  ]);
  server.answer = refused(404, 'NoSuchLifecycleConfiguration');
  await expect(other.admin.getLifecycle()).resolves.toEqual([]);
  await other.close();
  await server.close();
});
