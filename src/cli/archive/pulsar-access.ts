// The Pulsar cluster of the settings, for commands on an archive that publish to it or ask it something.
import { parsePulsarAccess } from '../../config.ts';
import { BackupError } from '../../errors.ts';
import { readRoleKey } from '../../rules/role-key.ts';
import type { Terminal } from '../command.ts';
import { ruleEnvironment } from '../rule/environment.ts';

/** Where it is, and as whom to connect. `hint`: for who has not set it. @throws BackupError `config` */
export async function pulsarAccess(terminal: Terminal, hint: string) {
  if (!terminal.env['PULSAR_SERVICE_URL'])
    throw new BackupError('config', 'PULSAR_SERVICE_URL is not set', { hint });
  const { pulsar, api } = parsePulsarAccess(await ruleEnvironment(terminal), 'shell');
  const { tdmqRole, runsFrom } = pulsar;
  const token =
    tdmqRole === undefined || api === undefined
      ? pulsar.token
      : await readRoleKey({ ...tdmqRole, ...api, signal: terminal.signal, runsFrom });
  return { ...pulsar, token };
}
