// What `check` says about each storage class that a rule can have.
import { expect, it } from 'vitest';
import { checkObjectSize, checkStorageClass } from '../../src/cli/check/storage-class.ts';

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

const rule = (
  storageClass: string,
  lingerMinutes: number,
  intervalMinutes = 5,
  subscriptionType = 'failover',
) =>
  ({
    cos: { storageClass },
    file: { lingerMinutes },
    run: { intervalMinutes },
    pulsar: { subscriptionType },
  }) as unknown as Parameters<typeof checkObjectSize>[0];

it('says of a class that bills a least size what the rule leaves in a day, and what its topic has to get', () => {
  expect(checkObjectSize(rule('STANDARD_IA', 0), 64)).toEqual([
    {
      item: 'object size',
      status: 'warn',
      cause:
        '64 partitions, an object every 5 minutes: up to 18,432 a day, paid for as 1,152 MB at least; an object is smaller than 64 KB where the topic gets less than 13.7 KB a second',
      hint: expect.stringContaining('FILE_LINGER_MINUTES=60 or more'),
    },
  ]);
  expect(checkObjectSize(rule('MAZ_ARCHIVE', 60), 64)).toEqual([
    {
      item: 'object size',
      status: 'ok',
      cause: expect.stringMatching(
        /^64 partitions, an object every 65 minutes: up to 1,418 a day, paid for as 89 MB .* 1\.1 KB a second$/,
      ),
    },
  ]);
  expect(checkObjectSize(rule('DEEP_ARCHIVE', 7), undefined)).toMatchObject([
    {
      cause: expect.stringMatching(/^each partition, an object every 10 minutes: up to 144 a day.* for each/),
    },
  ]);
  expect(checkObjectSize(rule('ARCHIVE', 0, 15, 'shared'), 1)).toMatchObject([
    {
      cause: expect.stringMatching(/^1 partition, .* 73 bytes a second$/),
      hint: expect.stringContaining('a longer interval'),
    },
  ]);
  expect(checkObjectSize(rule('STANDARD', 0), 64)).toEqual([]);
});
