const SIGNS: Record<string, string> = { "\n": "↵", "\r": "↵", "\t": "⇥" };

/** Line ends and tabs made visible. */
export function visible(text: string): string {
  return text.replace(/[\n\r\t]/g, (c) => SIGNS[c]);
}
