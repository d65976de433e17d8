// Triggers of a function; timers are the only kind here.
import { type Action, page, type Scene } from '../action.ts';
import { ApiError } from '../api-error.ts';
import type { ScfFunction, Trigger } from '../state.ts';
import { activeFunctionOf, functionOf, named } from './function.ts';

/** Documented: triggers of one type for one function. */
const MAX_OF_A_TYPE = 10;

/** A trigger as the API reports it. */
export const describeTrigger = (one: Trigger) => ({
  TriggerName: one.name,
  Type: one.type,
  TriggerDesc: JSON.stringify({ cron: one.cron }),
  Enable: one.open ? 1 : 0,
  Qualifier: one.qualifier,
  CustomArgument: one.argument ?? '',
  AvailableStatus: 'Available',
});

/** `*`, a number or a name of three letters; several with `,`, ranges with `-`, steps with `/`. */
const CRON_FIELD = /^(\*|\?|\d+|[A-Z]{3})([-/,](\*|\d+|[A-Z]{3}))*$/;

function cronOf(text: unknown): string {
  const fields = typeof text === 'string' ? text.trim().split(/\s+/) : [];
  if (fields.length !== 7 || !fields.every((field) => CRON_FIELD.test(field))) {
    throw new ApiError('InvalidParameterValue.Cron', 'The cron expression must have 7 fields.');
  }
  return text as string;
}

function triggerOf(fn: ScfFunction, { request }: Scene): Trigger {
  const found = fn.triggers.find(
    (one) => one.name === request['TriggerName'] && one.qualifier === (request['Qualifier'] ?? '$LATEST'),
  );
  if (found === undefined) throw new ApiError('ResourceNotFound.Trigger', 'The trigger does not exist.');
  return found;
}

function isOpen(text: unknown): boolean {
  if (text !== 'OPEN' && text !== 'CLOSE')
    throw new ApiError('InvalidParameterValue.Enable', 'OPEN or CLOSE.');
  return text === 'OPEN';
}

export const timerActions: Readonly<Record<string, Action>> = {
  CreateTrigger: {
    takes: {
      ...named,
      TriggerName: 'string!',
      Type: 'string!',
      TriggerDesc: 'string',
      Qualifier: 'string',
      Enable: 'string',
      CustomArgument: 'string',
    },
    answer: (scene) => {
      const fn = activeFunctionOf(scene);
      const { request } = scene;
      if (fn.triggers.some((one) => one.name === request['TriggerName'])) {
        throw new ApiError('ResourceInUse.Trigger', 'The trigger exists.');
      }
      if (fn.triggers.filter((one) => one.type === request['Type']).length >= MAX_OF_A_TYPE) {
        throw new ApiError('LimitExceeded.Trigger', 'More triggers of a type than a function may have.');
      }
      const trigger: Trigger = {
        name: request['TriggerName'],
        type: request['Type'],
        cron: cronOf(request['TriggerDesc']),
        open: isOpen(request['Enable'] ?? 'OPEN'),
        qualifier: request['Qualifier'] ?? '$LATEST',
        argument: request['CustomArgument'],
      };
      fn.triggers.push(trigger);
      return { TriggerInfo: describeTrigger(trigger) };
    },
  },
  UpdateTrigger: {
    takes: {
      ...named,
      TriggerName: 'string!',
      Type: 'string!',
      Enable: 'string',
      Qualifier: 'string',
      TriggerDesc: 'string',
      CustomArgument: 'string',
    },
    answer: (scene) => {
      const trigger = triggerOf(activeFunctionOf(scene), scene);
      if (scene.request['TriggerDesc'] !== undefined) trigger.cron = cronOf(scene.request['TriggerDesc']);
      if (scene.request['Enable'] !== undefined) trigger.open = isOpen(scene.request['Enable']);
      return {};
    },
  },
  UpdateTriggerStatus: {
    takes: { ...named, TriggerName: 'string!', Type: 'string!', Enable: 'string!', Qualifier: 'string' },
    answer: (scene) => {
      triggerOf(functionOf(scene), scene).open = isOpen(scene.request['Enable']);
      return {};
    },
  },
  ListTriggers: {
    takes: { ...named, Limit: 'number', Offset: 'number' },
    answer: (scene) => {
      const { triggers } = functionOf(scene);
      return { TotalCount: triggers.length, Triggers: page(triggers, scene, 20, 100).map(describeTrigger) };
    },
  },
  DeleteTrigger: {
    takes: { ...named, TriggerName: 'string!', Type: 'string!', Qualifier: 'string', TriggerDesc: 'string' },
    answer: (scene) => {
      const fn = functionOf(scene);
      fn.triggers.splice(fn.triggers.indexOf(triggerOf(fn, scene)), 1);
      return {};
    },
  },
};
