/** Which tokens a text means: those it is, those that begin with it, those that hold it. */

import type { Frame } from "./parquet";

/** A token of the vocabulary, and how close it is to what was asked for: at most 1. */
export interface Near {
  row: number;
  token: string;
  closeness: number;
  /** How many features fire on it. */
  features: number;
  /** Row of its first posting. */
  first: number;
}

export interface Found {
  near: Near[];
  /** How many tokens hold the word, and were left out as too many. */
  left: number;
}

// postings lie in blocks of so many, each read as a whole
const BLOCK = 8192;
// blocks read of tokens that hold a word: as many as are read in a moment
const MOST = 16;

export class Vocabulary {
  private readonly tokens: readonly (string | null)[];
  private readonly features: Float64Array;
  private readonly first: Float64Array;

  constructor(frame: Frame) {
    this.tokens = frame.texts("token");
    this.features = frame.numbers("features");
    this.first = frame.numbers("first");
  }

  /** Tokens like a word, the closest first, then those on which most features fire. */
  like(word: string): Found {
    const near: Near[] = [];
    const holding: Near[] = [];
    for (let row = 0; row < this.tokens.length; row++) {
      const token = this.tokens[row];
      const closeness = token === null ? 0 : closenessOf(token, word);
      if (!closeness) continue;
      const [features, first] = [this.features[row], this.first[row]];
      const one = { row, token: token as string, closeness, features, first };
      (closeness < BEGINS ? holding : near).push(one);
    }
    // tokens that begin with a word follow one another; those that hold it lie anywhere
    const blocks = new Set<number>();
    let left = 0;
    for (const one of holding.sort((x, y) => x.token.length - y.token.length || x.row - y.row)) {
      for (let at = one.first; at < one.first + one.features; at += BLOCK) {
        blocks.add(Math.floor(at / BLOCK));
      }
      if (blocks.size > MOST) left += 1;
      else near.push(one);
    }
    return { near: near.sort(nearer), left };
  }
}

const BEGINS = 0.6;
const HOLDS = 0.3;

function nearer(x: Near, y: Near): number {
  return y.closeness - x.closeness || y.features - x.features || x.row - y.row;
}

/** 1 if a token is the word, less if it begins with it, little if it holds it; else 0. */
export function closenessOf(token: string, word: string): number {
  if (token === word) return 1;
  if (token.startsWith(word)) return BEGINS;
  // nearly every token holds one letter or another
  return !/^[a-z0-9]$/.test(word) && token.includes(word) ? HOLDS : 0;
}

const ESCAPES: Record<string, string> = { "\\n": "↵", "\\r": "↵", "\\t": "⇥" };

/** The words of a text as the vocabulary has them: no case, no spaces, signs for line ends. */
export function wordsOf(text: string): string[] {
  if (text && !text.trim()) return ["␣"];
  return text
    .replace(/\\[nrt]/g, (sign) => ESCAPES[sign])
    .toLowerCase()
    .split(/\s+/)
    .filter(Boolean)
    .map((word) => word.replace(/^␣(?=[^␣↵⇥])/u, ""));
}

const PIECES =
  /[\p{sc=Han}\p{sc=Hira}\p{sc=Kana}]|(?:(?![\p{sc=Han}\p{sc=Hira}\p{sc=Kana}])[\p{L}\p{M}\p{N}])+|[^\p{L}\p{M}\p{N}]+/gu;

/** A word taken apart between letters and marks: `self.` as `self` and `.`. */
export function piecesOf(word: string): string[] {
  return word.match(PIECES) ?? [];
}
