// Commands that the broker refuses, with Pulsar's error code, each answered in its own way.
import type { CommandFields, CommandName } from '../../pulsar/wire/protocol/frame.ts';
import { LOOKUP_TYPE, PARTITIONED_METADATA_TYPE } from '../../pulsar/wire/protocol/tables.ts';
import type { Connection } from './accepted-socket.ts';

/** Thrown while a command is acted upon; the session answers it in that command's way. */
export class Refusal extends Error {
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

/** Answers a command with an error, the way that command is answered. */
export function sendRefusal(
  connection: Connection,
  name: CommandName,
  fields: Readonly<Record<string, unknown>>,
  { code: error, message }: Pick<Refusal, 'code' | 'message'>,
): void {
  const requestId = fields['requestId'] as number | undefined;
  if (name === 'partitionMetadata') {
    const response = PARTITIONED_METADATA_TYPE.Failed;
    connection.send('partitionMetadataResponse', { requestId, response, error, message });
  } else if (name === 'lookupTopic') {
    const response = LOOKUP_TYPE.Failed;
    connection.send('lookupTopicResponse', { response, requestId, error, message });
  } else if (name === 'ack') {
    const consumerId = fields['consumerId'] as number;
    if (requestId !== undefined) connection.send('ackResponse', { consumerId, error, message, requestId });
  } else if (name === 'send') {
    const { producerId, sequenceId } = fields as CommandFields<'send'>;
    connection.send('sendError', { producerId, sequenceId, error, message });
  } else {
    connection.send('error', { requestId: name === 'connect' ? -1 : requestId, error, message });
  }
}
