// `tdmq-backup archive …`: what can be done with an archive. Each command is in a file of its own.
import type { CommandGroup } from '../command.ts';

export const command: CommandGroup = {
  summary: 'read what was stored: ls, index, cat, verify, recover, restore, export, query, thaw',
  help: `
Usage: tdmq-backup archive <command> [options]

  ls       list topics, dates, partitions and objects, without downloading them
  index    write the manifest that a killed run could not
  copy     copy a selection to a folder or another bucket, with manifests that can be verified there
  cat      print the records of a topic, filtered
  verify   look for damage
  recover  decode what was kept raw, and store its messages
  restore  publish what was stored to a topic
  export   write the messages as Parquet tables
  query    ask an archive, or tables of it, in SQL
  thaw     ask COS for readable copies of archived objects
  schemas  list, print and compare the schemas that messages name; fetch them for an old archive

The archive is the bucket and prefix of the rule's settings (COS_BUCKET, COS_REGION, COS_PREFIX and API keys, also by
--env-file), or a folder that it was copied to (--folder). \`tdmq-backup archive <command> --help\` says more.

Examples:
  tdmq-backup archive ls --env-file .env.orders
  tdmq-backup archive cat --env-file .env.orders --from 2026-11-23 | head
  tdmq-backup archive verify --folder ./copy
`,
  subcommands: {
    ls: async () => (await import('./ls.ts')).command,
    index: async () => (await import('./index.ts')).command,
    copy: async () => (await import('./copy.ts')).command,
    cat: async () => (await import('./cat.ts')).command,
    recover: async () => (await import('./recover.ts')).command,
    verify: async () => (await import('./verify.ts')).command,
    restore: async () => (await import('./restore.ts')).command,
    export: async () => (await import('./export.ts')).command,
    query: async () => (await import('./query.ts')).command,
    thaw: async () => (await import('./thaw.ts')).command,
    schemas: async () => (await import('./schemas.ts')).command,
  },
  aliases: { list: 'ls', check: 'verify', cp: 'copy' },
};
