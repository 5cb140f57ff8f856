/** Which features of a track are labelled: where the meaning begins, and wherever it drifts. */

import type { Life } from "../../data/explorer";

/** A word of a label, and whether the label before did not have it. */
export interface Word {
  text: string;
  fresh: boolean;
}

export interface Labelled {
  node: number;
  words: Word[];
}

/** The words of a label: the tokens that make it up, or all of one that somebody gave. */
export function wordsOf(life: Pick<Life, "label" | "labelSource">): string[] {
  if (life.label === null) return [];
  return life.labelSource === null ? life.label.split(", ") : [life.label];
}

/**
 * The features of a track that are labelled: the first, the one in focus, and each whose words are
 * not those of the label before, in whatever order.
 */
export function labelledOf(
  track: readonly Pick<Life, "node" | "label" | "labelSource">[],
  focus: number,
): Labelled[] {
  const found: Labelled[] = [];
  let last = null as ReadonlySet<string> | null;
  for (const life of track) {
    const words = wordsOf(life);
    const before = last;
    const same =
      before !== null && before.size === words.length && words.every((w) => before.has(w));
    if (same && life.node !== focus) continue;
    found.push({
      node: life.node,
      words: words.map((text) => ({ text, fresh: !before?.has(text) })),
    });
    last = new Set(words);
  }
  return found;
}

/**
 * Words in lines of so many pixels, at most `most` lines; `cut` shortens what is too wide.
 *
 * Words that find no room are left out, and an ellipsis says so.
 */
export function linesOf(
  words: readonly Word[],
  width: number,
  most: number,
  measure: (text: string) => number,
  cut: (text: string, width: number) => string,
): Word[][] {
  const lines: Word[][] = [];
  let line: Word[] = [];
  let used = 0;
  for (const [i, word] of words.entries()) {
    const text = i < words.length - 1 ? `${word.text}, ` : word.text;
    const wide = measure(text);
    if (line.length && used + wide > width) {
      lines.push(line);
      [line, used] = [[], 0];
      if (lines.length === most) {
        const end = lines[most - 1];
        const last = end[end.length - 1];
        const room = width - end.slice(0, -1).reduce((sum, one) => sum + measure(one.text), 0);
        const more = `${last.text.trimEnd()} …`;
        end[end.length - 1] = { ...last, text: measure(more) <= room ? more : cut(more, room) };
        return lines;
      }
    }
    line.push({ ...word, text: wide > width ? cut(text, width) : text });
    used += wide;
  }
  if (line.length) lines.push(line);
  return lines;
}
