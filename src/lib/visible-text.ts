// Makes texts from outside (values, keys, topic names, error messages) safe to display: escapes characters that would
// move a terminal's cursor, change colours, or reverse text, as JSON does. Not for output that programs read.

/** Control characters of both sets, what sets the direction of letters, separators of lines, and what has no width. */
const HIDDEN = /[\p{Cc}\p{Bidi_Control}\u00ad\u200b\u2028\u2029\u2060\ufeff]/gu;
/** The same, but for line breaks and tabs. */
const HIDDEN_IN_LINES = /[^\P{Cc}\t\n]|[\p{Bidi_Control}\u00ad\u200b\u2028\u2029\u2060\ufeff]/gu;

const SHORT: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' };
const escaped = (one: string): string =>
  SHORT[one] ?? `\\u${one.charCodeAt(0).toString(16).padStart(4, '0')}`;

/** Whether the text is printable ASCII: true for nearly all texts, and fast to check. */
export const isPlainText = (text: string): boolean => /^[\x20-\x7e]*$/.test(text);

/** The text as one line without anything hidden. */
export const visibleText = (text: string): string =>
  isPlainText(text) ? text : text.replace(HIDDEN, escaped);

/** Lines without anything hidden in them. */
export const visibleLines = (text: string): string => text.replace(HIDDEN_IN_LINES, escaped);
