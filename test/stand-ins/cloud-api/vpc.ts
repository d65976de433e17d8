// VPC API 2017-03-12: subnets and their free addresses. Offset and Limit are texts in this API.
import { type Action, page } from './action.ts';

interface Filter {
  Name: string;
  Values: string[];
}

export const vpcActions: Readonly<Record<string, Action>> = {
  DescribeSubnets: {
    takes: { SubnetIds: 'array', Filters: 'array', Offset: 'string', Limit: 'string' },
    answer: (scene) => {
      const ids = scene.request['SubnetIds'] as string[] | undefined;
      const filters = (scene.request['Filters'] ?? []) as Filter[];
      const vpcs = filters.find((one) => one.Name === 'vpc-id')?.Values;
      const found = [...scene.state.subnets.values()].filter(
        (one) =>
          one.region === scene.region &&
          (ids === undefined || ids.includes(one.id)) &&
          (vpcs === undefined || vpcs.includes(one.vpcId)),
      );
      return {
        TotalCount: found.length,
        SubnetSet: page(found, scene, 20, 100).map((one) => ({
          VpcId: one.vpcId,
          SubnetId: one.id,
          SubnetName: one.name,
          AvailableIpAddressCount: one.freeIps,
        })),
      };
    },
  },
};
