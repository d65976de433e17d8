// `tdmq-backup completion SHELL`: prints a script that completes commands and their options. The script holds the words
// itself and runs nothing when Tab is pressed: generators at hand evaluate the typed line, or start Node for each Tab.
import { parseArgs } from 'node:util';
import type { Command, CommandGroup, Commands } from './command.ts';
import { UsageError } from './usage-error.ts';

/** What can be typed behind `path` (`rule create`): a word, and what it is for. */
interface Completions {
  readonly path: string;
  readonly words: readonly Word[];
}

interface Word {
  readonly text: string;
  readonly about: string;
  /** Whether a value follows it, and whether that is the name of a file. */
  readonly value?: 'file' | 'other';
}

const SHELLS = { bash, zsh, fish } as const;

/** The command, for a table of commands. */
export const completionOf = (commands: Commands): Command => ({
  summary: 'print the completion script of a shell: bash, zsh or fish',
  help: `
Usage: tdmq-backup completion bash|zsh|fish

Prints a script that completes commands and options at Tab.

Examples:
  source <(tdmq-backup completion bash)                                          # this shell; or in ~/.bashrc
  source <(tdmq-backup completion zsh)                                           # behind compinit in ~/.zshrc
  tdmq-backup completion fish > ~/.config/fish/completions/tdmq-backup.fish
`,
  isForPrograms: true,
  async run(args, terminal) {
    const { positionals } = parseArgs({ args: [...args], allowPositionals: true });
    const [shell, ...more] = positionals;
    if (shell === undefined || more.length > 0 || !Object.hasOwn(SHELLS, shell)) {
      throw new UsageError(`name one shell: ${Object.keys(SHELLS).join(', ')}`);
    }
    terminal.stdout.write(SHELLS[shell as keyof typeof SHELLS](await allCompletions(commands)));
    return 0;
  },
});

/** The words behind each command, from the table of commands and from what their helps list. */
async function allCompletions(commands: Commands): Promise<readonly Completions[]> {
  const found: Completions[] = [];
  const members: Word[] = [];
  const add = (path: string, entry: Command | CommandGroup, subcommands: readonly Word[]) =>
    found.push({ path, words: [...subcommands, ...optionsIn(entry.help), ...COMMON] });
  for (const [name, load] of Object.entries(commands)) {
    const { command: entry } = await load();
    members.push({ text: name, about: entry.summary });
    const subcommands: Word[] = [];
    for (const [subname, loadSub] of Object.entries(entry.subcommands ?? {})) {
      const sub = await loadSub();
      subcommands.push({ text: subname, about: sub.summary });
      add(`${name} ${subname}`, sub, []);
    }
    if (name === 'completion') for (const text of Object.keys(SHELLS)) subcommands.push({ text, about: '' });
    add(name, entry, subcommands);
  }
  return [
    { path: '', words: [...members, { text: '--version', about: 'the version' }, ...COMMON] },
    ...found,
  ];
}

const COMMON: readonly Word[] = [
  { text: '--env-file', about: 'settings from a file', value: 'file' },
  { text: '--help', about: 'what it does, and its options' },
];

/** The options that a help lists, one a line: `  --name, -n VALUE  what it is for`. */
function optionsIn(help: string): Word[] {
  return [...help.matchAll(/^ {2}(--[a-z-]+)(?:, -[a-z])?(?: ([A-Z][A-Z=]*))? +(.*)$/gm)].map(
    ([, text = '', value, about = '']) => ({
      text,
      about,
      ...(value !== undefined && { value: /FILE|DIR/.test(value) ? 'file' : 'other' }),
    }),
  );
}

const optionsWith = (all: readonly Completions[], value: Word['value']) => [
  ...new Set(all.flatMap(({ words }) => words.flatMap((one) => (one.value === value ? [one.text] : [])))),
];

const valued = (all: readonly Completions[]) => [...optionsWith(all, 'file'), ...optionsWith(all, 'other')];

const quoted = (text: string) => `'${text.replaceAll("'", "'\\''")}'`;

/** Sets `typed` to the path that was typed: as many words as name a command, options and their values passed over. */
const typedPath = (words: string, all: readonly Completions[]) => `  for word in ${words}; do
    case $previous in ${valued(all).join('|')}) previous=; continue;; esac
    previous=$word
    case "$word" in -*) continue;; esac
    case "\${typed:+$typed }$word" in ${all.flatMap(({ path }) => (path === '' ? [] : [quoted(path)])).join('|')}) typed="\${typed:+$typed }$word";; *) break;; esac
  done`;

function bash(all: readonly Completions[]): string {
  const cases = all.map(
    ({ path, words }) => `    ${quoted(path)}) words=${quoted(words.map((one) => one.text).join(' '))};;`,
  );
  return `# bash completion of tdmq-backup
_tdmq_backup() {
  local current=\${COMP_WORDS[COMP_CWORD]} before=\${COMP_WORDS[COMP_CWORD-1]} typed= previous= word words=
  COMPREPLY=()
${typedPath(`"\${COMP_WORDS[@]:1:COMP_CWORD-1}"`, all)}
  # A value: the shell's own completion of file names is all there is to offer.
  case $before in ${valued(all).join('|')}) return;; esac
  case $typed in
${cases.join('\n')}
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -o default -F _tdmq_backup tdmq-backup
`;
}

function zsh(all: readonly Completions[]): string {
  const described = ({ text, about }: Word) =>
    quoted(`${text.replaceAll(':', '\\:')}${about && `:${about}`}`);
  const cases = all.map(
    ({ path, words }) => `    ${quoted(path)}) words_=(${words.map(described).join(' ')});;`,
  );
  return `#compdef tdmq-backup
# zsh completion of tdmq-backup
_tdmq_backup() {
  local typed= previous= word
  local -a words_
${typedPath(`"\${(@)words[2,CURRENT-1]}"`, all)}
  case "\${words[CURRENT-1]}" in
    ${optionsWith(all, 'file').join('|')}) _files; return;;
    ${optionsWith(all, 'other').join('|')}) return;;
  esac
  case "$typed" in
${cases.join('\n')}
  esac
  _describe 'tdmq-backup' words_
}
compdef _tdmq_backup tdmq-backup
`;
}

function fish(all: readonly Completions[]): string {
  const seen = (names: readonly string[]) => `__fish_seen_subcommand_from ${names.join(' ')}`;
  const lines = all.flatMap(({ path, words }) => {
    const names = path.split(' ').filter(Boolean);
    const members = words.map((one) => one.text).filter((text) => !text.startsWith('-'));
    // `run` is a command, and one of the rule's as well.
    const families = all.flatMap((one) =>
      names.length === 1 && one.path.endsWith(` ${path}`) ? [one.path.split(' ')[0] as string] : [],
    );
    const typed = [
      ...(path === '' ? ['__fish_use_subcommand'] : names.map((name) => seen([name]))),
      ...(path !== '' && members.length > 0 ? [`not ${seen(members)}`] : []),
      ...(families.length > 0 ? [`not ${seen(families)}`] : []),
    ].join('; and ');
    return words.map(({ text, about, value }) => {
      const what = text.startsWith('--')
        ? `-l ${text.slice(2)}${value === undefined ? '' : value === 'file' ? ' -rF' : ' -x'}`
        : `-a ${text}`;
      return `complete -c tdmq-backup -n ${quoted(typed)} ${what}${about && ` -d ${quoted(about)}`}`;
    });
  });
  return `# fish completion of tdmq-backup
complete -c tdmq-backup -f
${lines.join('\n')}
`;
}
