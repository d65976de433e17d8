// Asks questions one after the other, and lets a person go back to any of them. It knows nothing of rules: what is
// asked, and which answers depend on which, is in questions.ts.
import { BACK, type Prompt } from '../terminal/prompt.ts';

/** What came of a question: an answer, one that left no choice (nobody goes back to it), or a wish to go back. */
export type Answer<A> =
  | { readonly kind: 'answered'; readonly fills: A }
  | { readonly kind: 'known'; readonly fills: A }
  | { readonly kind: 'back' };

/** One question; `A` is what answers fill in. */
export interface Question<A> {
  /** Its name in the list of answers that can be changed. */
  readonly title: string;
  /** Titles of the questions whose answers its choices follow from: a new answer there asks this one again. */
  readonly dependsOn?: readonly string[];
  /** Whether it has to be asked, after these answers. */
  isNeeded(answers: A): boolean;
  /** Asks. `before` is the answer that was given and withdrawn. */
  ask(answers: A, before: A | undefined): Promise<Answer<A>>;
}

export interface Wizard<A> {
  /** What is given, and what was answered. */
  readonly answers: A;
  /** Whether a person answered anything. */
  readonly hasAsked: boolean;
  /** Asks until nothing is missing. */
  fill(): Promise<void>;
  /** Lets the person choose an answer, and asks for it and for what depends on it again. */
  change(): Promise<void>;
}

/** A wizard over `questions`, in their order. What is `given` stays; `merge` puts later answers over earlier ones. */
export function openWizard<A>(
  questions: readonly Question<A>[],
  given: A,
  prompt: Prompt,
  {
    merge,
    onFailure,
  }: {
    readonly merge: (...parts: readonly A[]) => A;
    /** Hears of a question that could not be asked: what it throws ends the wizard, else the last answer is asked again. */
    readonly onFailure: (error: unknown) => void;
  },
): Wizard<A> {
  const answers = new Map<Question<A>, A>();
  const before = new Map<Question<A>, A>();
  const asked: Question<A>[] = [];
  const merged = () => merge(given, ...questions.flatMap((one) => answers.get(one) ?? []));

  function forget(question: Question<A>): void {
    answers.delete(question);
    const at = asked.indexOf(question);
    if (at >= 0) asked.splice(at, 1);
    for (const other of questions) {
      if (!other.dependsOn?.includes(question.title) || !answers.has(other)) continue;
      forget(other);
      // What was answered there followed from what is no longer so.
      before.delete(other);
    }
  }

  async function fill(): Promise<void> {
    for (;;) {
      const next = questions.find((one) => !answers.has(one) && one.isNeeded(merged()));
      if (next === undefined) return;
      const last = asked.at(-1);
      const answer = await next.ask(merged(), before.get(next)).catch((error: unknown): Answer<A> => {
        if (last === undefined) throw error;
        onFailure(error);
        return { kind: 'back' };
      });
      if (answer.kind === 'back') {
        if (last !== undefined) forget(last);
        continue;
      }
      answers.set(next, answer.fills);
      if (answer.kind === 'known') continue;
      before.set(next, answer.fills);
      asked.push(next);
    }
  }

  return {
    get answers() {
      return merged();
    },
    get hasAsked() {
      return asked.length > 0;
    },
    fill,
    change: async () => {
      const choices = questions
        .filter((one) => asked.includes(one))
        .map((one) => ({ label: one.title, value: one }));
      const question = await prompt.pick('Which answer', choices);
      if (question !== BACK) forget(question);
      await fill();
    },
  };
}
