import type { Sentence, Strand } from "../../data/sentence";
import { cut, measured } from "../../draw/measured";
import { tokenText } from "../circuits/labels";

/** A token of a sentence as it is shown. */
export function wordOf(sentence: Sentence, token: number): string {
  return token === 0 && sentence.bos ? "BOS" : tokenText(sentence.tokens[token]).trimStart() || "␣";
}

/** The same where there is little room: without the signs of blanks before words. */
export function shortName(strand: Strand): string {
  return strandName(strand).replace(/␣(?=\p{L})/gu, "");
}

/** As many of the tokens of a name as fit; of the first as much as fits. */
export function fitting(name: string, room: number, size: number, weight: number): string {
  const parts = name.split(", ");
  for (let count = parts.length; count > 0; count--) {
    const some = parts.slice(0, count).join(", ");
    if (measured(some, size, weight) <= room) return some;
  }
  return cut(parts[0], room, size, weight);
}

/** What a strand is called. */
export function strandName(strand: Strand): string {
  const { site, feature } = strand.strongest.known;
  return strand.label || `${site} ${feature}`;
}
