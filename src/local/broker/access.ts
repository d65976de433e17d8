// Who may connect, and who may do something: static tokens. No JWT is looked into and nothing expires.

/** The role behind a token. */
export interface TokenRole {
  readonly role: string;
  /** Whether the role may look up, consume and produce. Without it, it can connect and nothing else. */
  readonly isAllowed: boolean;
  /** Whether the role may produce, where it is allowed at all. Default true. */
  readonly mayProduce?: boolean;
}

/** Tokens and their roles; `undefined`: authentication is off. */
export type Tokens = Readonly<Record<string, TokenRole>> | undefined;

/** Somebody without a token, where none is asked for. */
export const ANYBODY: TokenRole = { role: 'anonymous', isAllowed: true };

/** The role of a token; `undefined` where it is wrong or missing. */
export function roleOf(tokens: Tokens, token: string | undefined): TokenRole | undefined {
  if (tokens === undefined) return ANYBODY;
  return token !== undefined && Object.hasOwn(tokens, token) ? tokens[token] : undefined;
}
