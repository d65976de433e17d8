// A command that the broker refuses, with Pulsar's error code.

/** Thrown while a command is acted upon; the session answers it in that command's way. */
export class Refusal extends Error {
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}
