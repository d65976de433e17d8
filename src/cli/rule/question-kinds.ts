// The kinds of question about a rule: a text, one of a list, or one of a list with a text for what is not in it. Each
// offers the answer that was given before.
import { type FieldName, mergeForms, type RuleForm } from '../../rules/rule-form.ts';
import { BACK, type Choice, type Prompt } from '../terminal/prompt.ts';
import type { Answer, Question } from './wizard.ts';

/** What the answers amount to. */
export interface Asked {
  readonly form: RuleForm;
  /** Make the run role where it does not exist. */
  readonly createRunRole: boolean;
}

export type Fields = Partial<Record<FieldName, string>>;

/** Later answers over earlier ones. */
export const mergeAsked = (...parts: readonly Asked[]): Asked => ({
  form: mergeForms(...parts.map((one) => one.form)),
  createRunRole: parts.some((one) => one.createRunRole),
});

/** The choice of typing what is not in the list. */
export const TYPED = Symbol('typed');

/** An empty text means what is there, or for the default: it fills in nothing. */
export const filled = (fields: Fields): Asked => ({
  form: {
    fields: Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== '')),
    settings: {},
  },
  createRunRole: false,
});

interface TextOptions {
  readonly question: string;
  /** What an empty answer means. */
  readonly fallback?: (fields: Fields) => string;
  readonly check: (given: string) => string | undefined | Promise<string | undefined>;
}

/** The kinds of question that there are. Each offers the answer that was given before. */
export function kindsOfQuestion(prompt: Prompt) {
  async function type(name: FieldName, fields: Fields, before: string | undefined, options: TextOptions) {
    const { question, fallback, check } = options;
    return prompt
      .ask(question, {
        ...(fallback && { fallback: fallback(fields) }),
        initial: before,
        check,
      })
      .then(
        (given): Answer<Asked> =>
          given === BACK ? { kind: 'back' } : { kind: 'answered', fills: filled({ [name]: given }) },
      );
  }

  async function pick<T>(title: string, choices: readonly Choice<T>[], before: (value: T) => boolean) {
    const [only] = choices;
    if (only !== undefined && choices.length === 1) {
      if (only.label !== '') prompt.note(title, only.label);
      return { kind: 'known', fills: only.value } as const;
    }
    const picked = await prompt.pick(title, choices, choices.find((one) => before(one.value))?.value);
    return picked === BACK ? ({ kind: 'back' } as const) : ({ kind: 'answered', fills: picked } as const);
  }

  const choice = (
    title: string,
    dependsOn: readonly string[],
    isNeeded: (answers: Asked) => boolean,
    choices: (fields: Fields) => Promise<readonly Choice<Asked>[]>,
  ): Question<Asked> => ({
    title,
    dependsOn,
    isNeeded,
    ask: async ({ form }, before) =>
      pick(title, await choices(form.fields), (value) => JSON.stringify(value) === JSON.stringify(before)),
  });

  return {
    choice,
    text: (
      name: FieldName,
      title: string,
      dependsOn: readonly string[],
      options: TextOptions,
    ): Question<Asked> => ({
      title,
      dependsOn,
      isNeeded: ({ form }) => form.fields[name] === undefined,
      ask: ({ form }, before) => type(name, form.fields, before?.form.fields[name], options),
    }),
    /** One of a list for a field, or, where the list offers that, a text. */
    list: (
      name: FieldName,
      title: string,
      dependsOn: readonly string[],
      choices: (fields: Fields) => Promise<readonly Choice<string | typeof TYPED>[]>,
      typed?: TextOptions,
    ): Question<Asked> => ({
      title,
      dependsOn,
      isNeeded: ({ form }) => form.fields[name] === undefined,
      ask: async ({ form: { fields } }, before) => {
        const offered = await choices(fields);
        const given = before?.form.fields[name];
        for (;;) {
          const isTypedOnly = offered.length === 1 && offered[0]?.value === TYPED;
          const picked = isTypedOnly
            ? ({ kind: 'known', fills: TYPED } as const)
            : await pick(title, offered, (value) => value === given);
          if (picked.kind === 'back') return picked;
          if (picked.fills !== TYPED) return { kind: picked.kind, fills: filled({ [name]: picked.fills }) };
          const answer = await type(name, fields, given, typed as TextOptions);
          // Esc at the text goes back to its list.
          if (answer.kind !== 'back' || isTypedOnly) return answer;
        }
      },
    }),
  };
}
