// Tag API 2018-08-13: the tags of functions, looked at, attached and detached. Other resources have none here.
import type { Action, Scene } from './action.ts';
import { ApiError } from './api-error.ts';
import type { ScfFunction } from './state.ts';

const resources = {
  ServiceType: 'string!',
  ResourceRegion: 'string!',
  ResourcePrefix: 'string!',
  ResourceIds: 'array!',
} as const;

function functionsOf({ request, state }: Scene): ScfFunction[] {
  return (request['ResourceIds'] as string[]).map((id) => {
    const fn = state.functions.get(/^default\/function\/(.+)$/.exec(id)?.[1] ?? '');
    if (fn === undefined || request['ServiceType'] !== 'scf' || fn.region !== request['ResourceRegion']) {
      throw new ApiError('InvalidParameterValue.ResourceIdInvalidError', `No resource ${id}.`);
    }
    return fn;
  });
}

export const tagActions: Readonly<Record<string, Action>> = {
  DescribeResourceTagsByResourceIds: {
    takes: { ...resources, Limit: 'number', Offset: 'number' },
    answer: (scene) => {
      const tags = functionsOf(scene).flatMap((fn) =>
        fn.tags.map(({ Key, Value }) => ({ TagKey: Key, TagValue: Value, ResourceId: fn.name })),
      );
      return { TotalCount: tags.length, Tags: tags };
    },
  },
  DescribeTags: {
    takes: { TagKey: 'string', TagValue: 'string', Limit: 'number', Offset: 'number' },
    answer: ({ request, state }) => {
      const { TagKey: key, TagValue: value } = request;
      const tags = [...state.functions.values()]
        .flatMap((fn) => fn.tags)
        .filter((tag) => tag.Key === key && tag.Value === value);
      return {
        TotalCount: tags.length,
        Tags: tags.map(({ Key, Value }) => ({ TagKey: Key, TagValue: Value })),
      };
    },
  },
  CreateTag: { takes: { TagKey: 'string!', TagValue: 'string!' }, answer: () => ({}) },
  AttachResourcesTag: {
    takes: { ...resources, TagKey: 'string!', TagValue: 'string!' },
    answer: (scene) => {
      const { TagKey: Key, TagValue: Value } = scene.request;
      for (const { tags } of functionsOf(scene)) tags.push({ Key, Value });
      return {};
    },
  },
  DetachResourcesTag: {
    takes: { ...resources, TagKey: 'string!' },
    answer: (scene) => {
      for (const fn of functionsOf(scene))
        fn.tags = fn.tags.filter(({ Key }) => Key !== scene.request['TagKey']);
      return {};
    },
  },
};
