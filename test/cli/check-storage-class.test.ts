// What `check` says about each storage class that a rule can have.
import { expect, it } from 'vitest';
import { checkStorageClass } from '../../src/cli/check/storage-class.ts';

it.each([
  ['STANDARD', /^STANDARD: each object is stored with no least time or size; reading costs requests/],
  [
    'MAZ_STANDARD_IA',
    /^MAZ_STANDARD_IA: each object is paid for 30 days and 64 KB at least; each GB that is read/,
  ],
  ['INTELLIGENT_TIERING', /monitoring; in an archive tier of the bucket objects have to be thawed/],
  ['ARCHIVE', /paid for 90 days and 64 KB at least; .*archive thaw\): minutes to 12 hours$/],
  ['MAZ_ARCHIVE', /^MAZ_ARCHIVE: each object is paid for 90 days/],
  ['DEEP_ARCHIVE', /paid for 180 days and 64 KB at least; .*: 12 to 48 hours$/],
])('%s', (storageClass, text) => {
  expect(checkStorageClass(storageClass)).toMatchObject({
    status: 'ok',
    cause: expect.stringMatching(text),
  });
});
