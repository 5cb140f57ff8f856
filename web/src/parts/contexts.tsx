import { useState } from "preact/hooks";
import type { Passage } from "../data/dashboards";
import type { Contexts } from "../data/tables";
import { shortened, visible } from "../data/tokens";
import { figure } from "../draw/format";

const LONGEST = 160; // characters of a token, and of the text on either side of it

/** Where a feature fires: the token where it is strongest shaded, within the text around it. */
export function ContextList({ contexts, limit = 8 }: { contexts: Contexts; limit?: number }) {
  const shown = contexts.contexts.slice(0, limit);
  const most = contexts.max || shown[0]?.activation || 1;
  return (
    <ol class="contexts">
      {shown.map((context, i) => {
        const [, space, token, rest] = /^(\s*)(.*?)(\s*)$/su.exec(context.token) ?? [];
        const blank = !token;
        const before = visible(shortened(context.before, LONGEST, "end"));
        const after = visible(shortened(context.after, LONGEST, "beginning"));
        return (
          <li key={i} class="context">
            <p class="context-text" dir="auto">
              <span class="context-before">
                {before}
                {blank ? "" : visible(space)}
              </span>
              <mark
                class="token"
                style={{ "--share": shareOf(context.activation, most) }}
                title={`activation ${figure(context.activation)}`}
              >
                {visible(shortened(blank ? context.token : token, LONGEST, "beginning"))}
              </mark>
              <span class="context-after">
                {blank ? "" : visible(rest)}
                {after}
              </span>
            </p>
            <span class="context-value">{figure(context.activation)}</span>
          </li>
        );
      })}
    </ol>
  );
}

/**
 * Passages with every token shaded by the feature's activation, which is told on hover and focus.
 *
 * One stop of the Tab key: arrows go from one token where the feature fires to the next.
 */
export function PassageList(props: {
  label: string;
  passages: readonly Passage[];
  /** The feature's largest activation. */
  max: number;
  /** Names of the text sets, where there are several. */
  texts: readonly string[];
  /** Another feature's activation at the strongest token of each passage; NaN: not known. */
  other?: readonly number[];
}) {
  const { label, passages, max, texts, other } = props;
  const [stop, setStop] = useState<string | null>(null);
  const first = passages[0] && `0-${passages[0].at}`;
  const reached = stop !== null && isMark(passages, stop) ? stop : first;
  const onKeyDown = (event: KeyboardEvent) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step) return;
    const list = event.currentTarget as HTMLElement;
    const lines = event.key === "ArrowUp" || event.key === "ArrowDown";
    const marks = [...list.querySelectorAll<HTMLElement>(lines ? "mark.at" : "mark")];
    const here = event.target as HTMLElement;
    const at = lines ? marks.findIndex((one) => one.closest("li") === here.closest("li")) : -1;
    const next = marks[(lines ? at : marks.indexOf(here)) + step];
    if (!next) return;
    event.preventDefault();
    next.focus();
  };
  return (
    <ol
      class="contexts passages"
      aria-label={label}
      onKeyDown={onKeyDown}
      onFocusIn={(event) => setStop((event.target as HTMLElement).dataset.mark ?? null)}
    >
      {passages.map((passage, i) => {
        const its = other?.[i] ?? Number.NaN;
        const shared = !Number.isNaN(its) && its !== 0;
        return (
          <li
            key={passage.place}
            class={shared ? "context shared" : "context"}
            data-place={passage.place}
          >
            <p class="context-text" dir="auto">
              {passage.pieces.map((piece, k) => {
                const value = passage.activations[k];
                const name = `${i}-${k}`;
                return value === 0 ? (
                  <span key={k}>{visible(shortened(piece, LONGEST, "beginning"))}</span>
                ) : (
                  <Token
                    key={k}
                    name={name}
                    piece={piece}
                    value={value}
                    share={shareOf(value, max)}
                    strongest={k === passage.at}
                    also={k === passage.at && shared ? its : null}
                    reached={name === reached}
                  />
                );
              })}
            </p>
            <span class="context-value">
              {figure(passage.activations[passage.at])}
              {shared && <span class="context-other">{figure(its)}</span>}
              {texts.length > 1 && <span class="context-from">{plain(texts[passage.text])}</span>}
            </span>
          </li>
        );
      })}
    </ol>
  );
}

function Token(props: {
  name: string;
  piece: string;
  value: number;
  share: string;
  strongest: boolean;
  also: number | null;
  reached: boolean;
}) {
  const { name, piece, value, share, strongest, also, reached } = props;
  const [, space, token, rest] = /^(\s*)(.*?)(\s*)$/su.exec(piece) ?? [];
  const blank = !token;
  const told = also === null ? figure(value) : `${figure(value)} here, ${figure(also)} there`;
  return (
    <>
      {blank ? "" : visible(space)}
      <mark
        class={strongest ? "token at" : "token"}
        style={{ "--share": share }}
        data-mark={name}
        data-value={told}
        tabindex={reached ? 0 : -1}
      >
        {blank ? blankOf(piece) : visible(shortened(token, LONGEST, "beginning"))}
        <span class="visually-hidden"> ({told})</span>
      </mark>
      {blank ? "" : visible(rest)}
    </>
  );
}

/** A token of nothing but spaces and line ends, or of nothing at all, so that it is seen. */
function blankOf(piece: string): string {
  return visible(shortened(piece, LONGEST, "beginning")).replace(/ +/g, "␣") || "·";
}

function isMark(passages: readonly Passage[], name: string): boolean {
  const [i, k] = name.split("-").map(Number);
  return (passages[i]?.activations[k] ?? 0) !== 0;
}

function shareOf(value: number, most: number): string {
  return Math.max(0, Math.min(1, Math.abs(value) / most)).toFixed(3);
}

/** The name of a text set, without the prefix of those that are shipped. */
export function plain(name: string | undefined): string {
  return (name ?? "").replace(/^saematch:/, "");
}
