// `tdmq-backup rule …`: the console's form for backup rules, as commands. Each is in a file of its own.
import type { CommandGroup } from '../command.ts';

export const command: CommandGroup = {
  summary: 'make and look after rules in the cloud: create, list, show, edit, logs, pause, run, delete …',
  help: `
Usage: tdmq-backup rule <command> [options]

A rule is a function with a timer that backs up one topic. It is known by its tag tdmq-backup, whether it was made
here or deployed with serverless.yml.

  create   make a rule: asks on a terminal, or takes flags or a file
  list     the rules of the region and how they are
  show     one rule: settings, state, last run, backlog
  edit     change a rule; shows the difference and asks
  logs     the history of its runs, or the lines of one
  pause    stop its timer; nothing is lost, messages wait in the subscription
  resume   start its timer again
  run      run it now and wait
  delete   delete it; the subscription and the stored objects stay
  export   write it as .env.<stage> for the Serverless Framework, or for Terraform

\`tdmq-backup rule <command> --help\` says more.

Examples:
  tdmq-backup rule create
  tdmq-backup rule list --region ap-guangzhou
  tdmq-backup rule logs orders-backup --errors
`,
  subcommands: {
    create: async () => (await import('./create.ts')).command,
    list: async () => (await import('./list.ts')).command,
    show: async () => (await import('./show.ts')).command,
    edit: async () => (await import('./edit.ts')).command,
    logs: async () => (await import('./logs.ts')).command,
    pause: async () => (await import('./pause.ts')).pauseCommand,
    resume: async () => (await import('./pause.ts')).resumeCommand,
    run: async () => (await import('./run.ts')).command,
    delete: async () => (await import('./delete.ts')).command,
    export: async () => (await import('./export.ts')).command,
  },
  aliases: {
    ls: 'list',
    get: 'show',
    describe: 'show',
    new: 'create',
    update: 'edit',
    stop: 'pause',
    start: 'resume',
    invoke: 'run',
    rm: 'delete',
    remove: 'delete',
  },
};
