const SIGNS: Record<string, string> = { "\n": "↵", "\r": "↵", "\t": "⇥" };
// what turns the direction of writing would turn the text around it too
const TURNS = /[\u202a-\u202e\u2066-\u2069\u200e\u200f\u061c]/g;

const ANY = /[\x00-\x1f\u202a-\u202e\u2066-\u2069\u200e\u200f\u061c]/;

/** Line ends, tabs and other controls made visible. */
export function visible(text: string): string {
  if (!ANY.test(text)) return text;
  return text
    .replace(/[\n\r\t]/g, (c) => SIGNS[c])
    .replace(/[\x00-\x1f]/g, (c) => String.fromCharCode(0x2400 + c.charCodeAt(0)))
    .replace(TURNS, (c) => `⟨${c.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}⟩`);
}

/** At most so many characters of the beginning of a text, or of its end. */
export function shortened(text: string, most: number, from: "beginning" | "end"): string {
  const characters = [...text];
  if (characters.length <= most) return text;
  return from === "beginning"
    ? `${characters.slice(0, most).join("")}…`
    : `…${characters.slice(-most).join("")}`;
}
