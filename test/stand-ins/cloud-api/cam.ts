// CAM API 2019-01-16: roles that services take on, policies, and which role has which.
import type { Action, Scene } from './action.ts';
import { ApiError } from './api-error.ts';
import type { CamPolicy, CamRole } from './state.ts';

function roleNamed({ state }: Scene, name: string): CamRole {
  const role = state.camRoles.get(name);
  if (role === undefined) throw new ApiError('InvalidParameter.RoleNotExist', 'The role does not exist.');
  return role;
}

function policyWithId({ state }: Scene, id: number): CamPolicy {
  const policy = state.camPolicies.get(id);
  if (policy === undefined) throw new ApiError('ResourceNotFound.PolicyIdNotFound', 'No such policy.');
  return policy;
}

function checkDocument(text: string): void {
  try {
    const document = JSON.parse(text) as { version?: unknown; statement?: unknown };
    if (document.version === '2.0' && Array.isArray(document.statement)) return;
  } catch {
    // reported below
  }
  throw new ApiError('InvalidParameter.PolicyDocumentError', 'The policy document is not valid.');
}

export const camActions: Readonly<Record<string, Action>> = {
  CreateRole: {
    takes: {
      RoleName: 'string!',
      PolicyDocument: 'string!',
      Description: 'string',
      ConsoleLogin: 'number',
      SessionDuration: 'number',
    },
    answer: ({ request, state }) => {
      checkDocument(request['PolicyDocument']);
      const name = request['RoleName'] as string;
      if (state.camRoles.has(name)) {
        throw new ApiError('InvalidParameter.RoleNameInUse', 'The role name is in use.');
      }
      state.camRoles.set(name, {
        name,
        trust: request['PolicyDocument'],
        description: request['Description'] ?? '',
        policies: new Set(),
      });
      return { RoleId: String(4_611_686_018_427_000_000n + BigInt(state.nextId++)) };
    },
  },
  GetRole: {
    takes: { RoleName: 'string!' },
    answer: (scene) => {
      const role = roleNamed(scene, scene.request['RoleName']);
      return {
        RoleInfo: { RoleName: role.name, PolicyDocument: role.trust, Description: role.description },
      };
    },
  },
  DescribeRoleList: {
    takes: { Page: 'number!', Rp: 'number!' },
    answer: ({ request, state }) => {
      const all = [...state.camRoles.values()];
      const start = (request['Page'] - 1) * request['Rp'];
      return {
        TotalNum: all.length,
        List: all.slice(start, start + request['Rp']).map((one) => ({
          RoleName: one.name,
          PolicyDocument: one.trust,
          Description: one.description,
        })),
      };
    },
  },
  DeleteRole: {
    takes: { RoleName: 'string!' },
    answer: (scene) => {
      scene.state.camRoles.delete(roleNamed(scene, scene.request['RoleName']).name);
      return {};
    },
  },
  CreatePolicy: {
    takes: { PolicyName: 'string!', PolicyDocument: 'string!', Description: 'string' },
    answer: ({ request, state }) => {
      checkDocument(request['PolicyDocument']);
      if ([...state.camPolicies.values()].some((one) => one.name === request['PolicyName'])) {
        throw new ApiError('FailedOperation.PolicyNameInUse', 'The policy name is in use.');
      }
      const id = state.nextId++;
      state.camPolicies.set(id, {
        id,
        name: request['PolicyName'],
        document: request['PolicyDocument'],
        description: request['Description'] ?? '',
      });
      return { PolicyId: id };
    },
  },
  GetPolicy: {
    takes: { PolicyId: 'number!' },
    answer: (scene) => {
      const { name, description, document } = policyWithId(scene, scene.request['PolicyId']);
      return { PolicyName: name, Description: description, PolicyDocument: document };
    },
  },
  UpdatePolicy: {
    takes: { PolicyId: 'number', PolicyName: 'string', PolicyDocument: 'string', Description: 'string' },
    answer: (scene) => {
      checkDocument(scene.request['PolicyDocument']);
      const policy = policyWithId(scene, scene.request['PolicyId']);
      policy.document = scene.request['PolicyDocument'];
      return { PolicyId: policy.id };
    },
  },
  ListPolicies: {
    takes: { Keyword: 'string', Scope: 'string', Rp: 'number', Page: 'number' },
    answer: ({ request, state }) => {
      const found = [...state.camPolicies.values()].filter((one) =>
        one.name.includes(request['Keyword'] ?? ''),
      );
      return {
        TotalNum: found.length,
        List: found.map((one) => ({
          PolicyId: one.id,
          PolicyName: one.name,
          Description: one.description,
        })),
      };
    },
  },
  DeletePolicy: {
    takes: { PolicyId: 'array!' },
    answer: (scene) => {
      for (const id of scene.request['PolicyId'] as number[]) {
        scene.state.camPolicies.delete(policyWithId(scene, id).id);
        for (const role of scene.state.camRoles.values()) role.policies.delete(id);
      }
      return {};
    },
  },
  AttachRolePolicy: {
    takes: { PolicyId: 'number!', AttachRoleName: 'string!' },
    answer: (scene) => {
      roleNamed(scene, scene.request['AttachRoleName']).policies.add(
        policyWithId(scene, scene.request['PolicyId']).id,
      );
      return {};
    },
  },
  DetachRolePolicy: {
    takes: { PolicyId: 'number!', DetachRoleName: 'string!' },
    answer: (scene) => {
      roleNamed(scene, scene.request['DetachRoleName']).policies.delete(scene.request['PolicyId']);
      return {};
    },
  },
  ListAttachedRolePolicies: {
    takes: { Page: 'number!', Rp: 'number!', RoleName: 'string!' },
    answer: (scene) => {
      const role = roleNamed(scene, scene.request['RoleName']);
      const list = [...role.policies].map((id) => ({
        PolicyId: id,
        PolicyName: policyWithId(scene, id).name,
      }));
      return { TotalNum: list.length, List: list };
    },
  },
};
