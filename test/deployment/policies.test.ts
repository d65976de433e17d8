// The CAM policies: well formed, no wider than they need to be, and no action forgotten that the code calls.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { packageRoot } from '../../src/packaging/package-root.ts';

interface Statement {
  readonly effect: string;
  readonly action: readonly string[];
  readonly resource: readonly string[];
}

const root = packageRoot(import.meta.url);
const names = readdirSync(join(root, 'policies')).map((file) => file.replace(/\.json$/, ''));

function statements(name: string): readonly Statement[] {
  const policy = JSON.parse(readFileSync(join(root, 'policies', `${name}.json`), 'utf8'));
  expect(Object.keys(policy)).toEqual(['version', 'statement']);
  expect(policy.version).toBe('2.0');
  return policy.statement;
}

const allowed = (name: string) => statements(name).flatMap(({ action }) => action);

/** What the sources below `folder` say that matches. */
function found(folder: string, pattern: RegExp, skip: readonly string[] = []): string[] {
  return readdirSync(join(root, folder))
    .filter((file) => file.endsWith('.ts') && !skip.includes(file))
    .flatMap((file) => [...readFileSync(join(root, folder, file), 'utf8').matchAll(pattern)])
    .map((match) => match.slice(1).join(':'));
}

test.each(names)('%s is a CAM policy: allowed actions by name, resources in six segments', (name) => {
  for (const { effect, action, resource, ...more } of statements(name)) {
    expect(more).toEqual({});
    expect(effect).toBe('allow');
    for (const one of action) expect(one).toMatch(/^(name\/cos|scf|tdmq|cls|vpc|cam|tag):[A-Z][A-Za-z]+$/);
    for (const one of resource) expect(one).toMatch(/^(\*|qcs::[a-z]+:[^:]*:ui[dn]\/[^:]+:[^:]+)$/);
  }
});

test.each(names)('%s gives access to objects below the prefix only, and grants nothing twice', (name) => {
  for (const { action, resource } of statements(name)) {
    const isAboutObjects = action.some((one) => /cos:.*(Object|Upload|Part|GetBucket$)/.test(one));
    if (isAboutObjects) for (const one of resource) expect(one).toMatch(/<bucket-appid>\/<prefix>/);
    expect(new Set(action).size).toBe(action.length);
  }
});

test('the run role may do what the store does, list manifests included, and remove nothing', () => {
  const calls = found('src/cos', /action: '([A-Za-z]+)'/g, ['admin.ts']).map((one) => `name/cos:${one}`);
  const granted = allowed('run-role');
  expect(granted).toEqual(expect.arrayContaining(calls));
  expect(granted).toEqual(expect.arrayContaining(['name/cos:PutObject', 'name/cos:GetBucketVersioning']));
  expect(granted.filter((one) => /Delete|\*/.test(one))).toEqual([]);
});

test('who checks and reads an archive may ask for the settings of the bucket, and remove the probe only', () => {
  const calls = found('src/cos', /action: '([A-Za-z]+)'/g)
    .filter((one) => /^(Head|Get|Delete)/.test(one))
    .map((one) => `name/cos:${one}`);
  expect(allowed('archive-user')).toEqual(expect.arrayContaining([...calls, 'name/cos:PostObjectRestore']));
  for (const name of names.filter((one) => one !== 'archive-user'))
    expect(allowed(name), name).not.toContain('name/cos:PostObjectRestore');
  const removing = statements('archive-user').find(({ action }) => action.includes('name/cos:DeleteObject'));
  expect(removing?.resource).toEqual([expect.stringMatching(/<prefix>_runs\/_check\/\*$/)]);
});

/** What the cloud asks for besides the call itself, and why. */
const IMPLIED = {
  // A function is made with a role, and with tags; CAM knows Invoke by a second name.
  'deploy-user': ['cam:PassRole', 'tag:TagResources', 'scf:InvokeFunction'],
  'deploy-user-roles': ['cam:PassRole', 'cam:GetRole'],
} as const;

/** Writing policies and attaching them is for those who may make roles. */
const isAboutRoles = (action: string) =>
  action.startsWith('cam:') && !['cam:GetRole', 'cam:DescribeRoleList'].includes(action);

test.each(['deploy-user', 'deploy-user-roles'] as const)(
  '%s is what the rule commands call, and nothing else',
  (name) => {
    const called = /\.call\(\s*'([a-z]+)',\s*'([A-Za-z]+)'/g;
    const calls = new Set([...found('src/rules', called), ...found('src/cli/rule', called)]);
    const own = [...calls].filter((one) => isAboutRoles(one) === (name === 'deploy-user-roles'));
    const cos = name === 'deploy-user' ? ['name/cos:GetService', 'name/cos:HeadBucket'] : [];
    expect([...allowed(name)].sort()).toEqual([...own, ...IMPLIED[name], ...cos].sort());
  },
);

test('only who is to remove a deleted rule’s objects may remove and list below the prefix, and nothing else', () => {
  expect(allowed('remove-objects')).toEqual(['name/cos:GetBucket', 'name/cos:DeleteObject']);
  expect(allowed('deploy-user')).not.toContain('name/cos:DeleteObject');
});

test('a run that reads the TDMQ role key needs that one permission more', () => {
  expect(allowed('run-role-tdmq')).toEqual(['tdmq:DescribeRoles']);
});
