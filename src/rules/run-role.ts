// The CAM role that a rule's function runs as, made with the least policy: objects under the rule's prefix, and the
// TDMQ role's key only where the function reads it itself. The policies are the JSON files in policies/.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { RuleSettings } from '../config.ts';
import { packageRoot } from '../packaging/package-root.ts';
import { ifThere } from './api-failure.ts';
import { allPages, type Cloud } from './cloud.ts';
import type { Step } from './steps.ts';

/** How a role that `rule create` made is known again. */
const DESCRIPTION = 'Made by tdmq-backup for the rule ';

const TRUST = {
  version: '2.0',
  statement: [{ action: 'name/sts:AssumeRole', effect: 'allow', principal: { service: ['scf.qcloud.com'] } }],
};

interface Statement {
  readonly effect: string;
  readonly action: readonly string[];
  readonly resource: readonly string[];
}

/** What the role may do, with the rule's bucket and prefix put in. */
export function runRolePolicy(config: RuleSettings): { version: string; statement: Statement[] } {
  const { bucket, region, prefix } = config.cos;
  const values: Record<string, string> = {
    region,
    prefix,
    'bucket-appid': bucket,
    appid: bucket.slice(bucket.lastIndexOf('-') + 1),
  };
  const read = (name: string): Statement[] => {
    const text = readFileSync(join(packageRoot(import.meta.url), 'policies', name), 'utf8');
    return JSON.parse(text.replace(/<([\w-]+)>/g, (whole, key: string) => values[key] ?? whole)).statement;
  };
  return {
    version: '2.0',
    statement: [
      ...read('run-role.json'),
      ...(config.pulsar.tdmqRole === undefined ? [] : read('run-role-tdmq.json')),
    ],
  };
}

/** Whether there is a role of this name, and whether SCF may take it on. */
export async function findRunRole(
  cloud: Cloud,
  name: string,
): Promise<{ isForScf: boolean; isOurs: boolean } | undefined> {
  const found = await ifThere(cloud.call('cam', 'GetRole', { RoleName: name }));
  return (
    found && {
      isForScf: found.RoleInfo?.PolicyDocument?.includes('scf.qcloud.com') ?? false,
      isOurs: found.RoleInfo?.Description?.startsWith(DESCRIPTION) ?? false,
    }
  );
}

/** The steps that make the role with its policy. */
export function createRunRole(
  cloud: Cloud,
  roleName: string,
  ruleName: string,
  config: RuleSettings,
): Step[] {
  const document = runRolePolicy(config);
  const description = `${DESCRIPTION}${ruleName}`;
  const byHand = 'delete it in the CAM console';
  let policyId: number | undefined;
  return [
    {
      title: `create the run role ${roleName}`,
      call: 'cam:CreateRole',
      request: { RoleName: roleName, PolicyDocument: TRUST },
      run: (signal) => {
        const request = {
          RoleName: roleName,
          PolicyDocument: JSON.stringify(TRUST),
          Description: description,
        };
        return cloud.call('cam', 'CreateRole', request, { signal });
      },
      undo: {
        title: `delete the run role ${roleName}`,
        left: `the run role ${roleName}`,
        byHand,
        run: (signal) => cloud.call('cam', 'DeleteRole', { RoleName: roleName }, { signal }),
      },
    },
    {
      title: `create its policy ${roleName}`,
      call: 'cam:CreatePolicy',
      request: { PolicyName: roleName, PolicyDocument: document },
      run: async (signal) => {
        const request = {
          PolicyName: roleName,
          PolicyDocument: JSON.stringify(document),
          Description: description,
        };
        policyId = (await cloud.call('cam', 'CreatePolicy', request, { signal })).PolicyId;
      },
      undo: {
        title: `delete the policy ${roleName}`,
        left: `the policy ${roleName}`,
        byHand,
        run: async (signal) => {
          const id = policyId ?? (await findPolicy(cloud, roleName, description, signal));
          if (id !== undefined) await cloud.call('cam', 'DeletePolicy', { PolicyId: [id] }, { signal });
        },
      },
    },
    {
      title: 'attach the policy to the role',
      call: 'cam:AttachRolePolicy',
      request: { AttachRoleName: roleName, PolicyName: roleName },
      run: (signal) =>
        cloud.call('cam', 'AttachRolePolicy', { AttachRoleName: roleName, PolicyId: policyId }, { signal }),
      undo: {
        title: 'detach the policy from the role',
        left: `the policy ${roleName}, attached to the role`,
        byHand: 'detach it in the CAM console',
        run: (signal) =>
          cloud.call('cam', 'DetachRolePolicy', { DetachRoleName: roleName, PolicyId: policyId }, { signal }),
      },
    },
  ];
}

/** The policy whose creation was not answered; not one of that name that somebody else has made. */
async function findPolicy(
  cloud: Cloud,
  name: string,
  description: string,
  signal: AbortSignal,
): Promise<number | undefined> {
  const { List: found } = await cloud.call(
    'cam',
    'ListPolicies',
    { Keyword: name, Scope: 'Local', Rp: 200, Page: 1 },
    { signal },
  );
  return found?.find((one) => one.PolicyName === name && one.Description === description)?.PolicyId;
}

/**
 * The step that lets a role of ours write where the rule writes after a change; none where it may already. A role or a
 * policy that somebody else has made or changed is left alone: `undefined`. `before` is unknown where it was wrong.
 */
export async function updateRunRole(
  cloud: Cloud,
  roleName: string,
  before: RuleSettings | undefined,
  after: RuleSettings,
): Promise<Step[] | undefined> {
  const was = before && JSON.stringify(runRolePolicy(before));
  const is = JSON.stringify(runRolePolicy(after));
  if (was === is) return [];
  const role = await findRunRole(cloud, roleName);
  const [policyId] = role?.isOurs ? await ownPolicies(cloud, roleName) : [];
  if (policyId === undefined) return undefined;
  const { PolicyDocument: text = '' } = await cloud.call('cam', 'GetPolicy', { PolicyId: policyId });
  const now = JSON.stringify(JSON.parse(text));
  if (now === is) return [];
  if (now !== was) return undefined;
  const put = (PolicyDocument: string, signal: AbortSignal) =>
    cloud.call('cam', 'UpdatePolicy', { PolicyId: policyId, PolicyDocument }, { signal });
  return [
    {
      title: `let the run role ${roleName} do what the rule now does`,
      call: 'cam:UpdatePolicy',
      request: { PolicyId: policyId, PolicyDocument: JSON.parse(is) },
      run: (signal) => put(is, signal),
      undo: {
        title: `set the policy of ${roleName} back`,
        left: `the new policy of the run role ${roleName}`,
        byHand: `set the bucket and prefix in the policy ${roleName} back in the CAM console`,
        run: (signal) => put(was, signal),
      },
    },
  ];
}

/** Ids of the policies attached to a role that bear its name. */
async function ownPolicies(cloud: Cloud, roleName: string): Promise<number[]> {
  const attached = await allPages(async (offset) => {
    const answer = await cloud.call('cam', 'ListAttachedRolePolicies', {
      RoleName: roleName,
      Page: offset / 200 + 1,
      Rp: 200,
    });
    return { rows: answer.List, total: answer.TotalNum };
  });
  return attached.flatMap((one) =>
    one.PolicyName === roleName && one.PolicyId !== undefined ? [one.PolicyId] : [],
  );
}

/** The steps that delete a role and the policies attached to it that bear its name. */
export async function deleteRunRole(cloud: Cloud, roleName: string): Promise<Step[]> {
  const own = await ownPolicies(cloud, roleName);
  return [
    ...own.map(
      (id): Step => ({
        title: `delete the policy ${roleName}`,
        call: 'cam:DeletePolicy',
        request: { PolicyId: [id] },
        run: async (signal) => {
          const attachment = { DetachRoleName: roleName, PolicyId: id };
          await ifThere(cloud.call('cam', 'DetachRolePolicy', attachment, { signal }));
          await ifThere(cloud.call('cam', 'DeletePolicy', { PolicyId: [id] }, { signal }));
        },
        lasting: `the policy ${roleName} is deleted`,
      }),
    ),
    {
      title: `delete the run role ${roleName}`,
      call: 'cam:DeleteRole',
      request: { RoleName: roleName },
      run: (signal) => ifThere(cloud.call('cam', 'DeleteRole', { RoleName: roleName }, { signal })),
      lasting: `the run role ${roleName} is deleted`,
    },
  ];
}
