// The value of a record that decode-messages.ts decoded, or could not. It loads no decoder.
import { isUtf8 } from 'node:buffer';
import type { StoredMessage } from '../read/read-messages.ts';
import { type JsonValue, jsonText, parseJson } from './json-value.ts';

/** The payload as the record has it, as an object of its own. */
export function payloadText(payload: Uint8Array | null): string {
  if (payload === null) return '{"value":null}';
  const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength);
  return isUtf8(bytes)
    ? `{"value":${JSON.stringify(bytes.toString())}}`
    : `{"valueBase64":"${bytes.toString('base64')}"}`;
}

/** The record with the JSON of its value in the place of its payload; a null value stays one. */
export function withDecodedValue<T extends Pick<StoredMessage, 'message' | 'line'> & { valueText?: string }>(
  one: T,
): T {
  if (one.message.payload === null) return one;
  const payload = Buffer.from(one.valueText ?? valueTextOf(one));
  return { ...one, message: { ...one.message, payload } };
}

/** The reverse of what decodeMessages did to the line, where only that was kept. */
function valueTextOf({ line, message }: Pick<StoredMessage, 'message' | 'line'>): string {
  const { decoded, decodeError } = parseJson(line) as { readonly [name: string]: JsonValue | undefined };
  if (decoded !== undefined) return jsonText(decoded);
  const raw = payloadText(message.payload);
  return decodeError === undefined ? raw : `{"decodeError":${jsonText(decodeError)},${raw.slice(1)}`;
}
