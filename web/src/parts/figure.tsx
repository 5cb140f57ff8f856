import type { ComponentChildren } from "preact";
import { useContext, useRef, useState } from "preact/hooks";
import { shareable } from "../data/live";
import { type Caption, type Key, pictureOf, pngOf, svgText } from "../draw/picture";
import { save, slugOf } from "../draw/save";
import { describing, ShownRun } from "./shown-run";
import "./figure.css";

/**
 * A drawing with its heading, its legend, and what can be kept of it: a picture, a link.
 *
 * All `svg` and `canvas` within are one picture; `data-export="no"` leaves an element out of it.
 */
export function Figure(props: {
  /** Of the files: `saematch-NAME.svg`. */
  name: string;
  title: string;
  legend?: readonly Key[];
  /** Of the heading; 0 where the view's own heading says it. */
  level?: 0 | 2 | 3;
  /** What stands beside the heading, such as a choice. */
  aside?: ComponentChildren;
  class?: string;
  children: ComponentChildren;
}) {
  const { name, title, legend = [], level = 2, aside } = props;
  const run = useContext(ShownRun);
  const body = useRef<HTMLDivElement>(null);
  const caption = (): Caption => ({ title, of: describing(run), legend });
  const Heading = level === 3 ? "h3" : "h2";
  return (
    <figure
      class={["figure", props.class].filter(Boolean).join(" ")}
      data-testid={`figure-${name}`}
    >
      <div class="figure-head">
        {level !== 0 && <Heading>{title}</Heading>}
        {aside}
        <Keep body={body} name={slugOf("saematch", name)} title={title} caption={caption} />
      </div>
      <div class="figure-body" ref={body}>
        {props.children}
      </div>
      <Legend keys={legend} />
    </figure>
  );
}

/** What the marks of a drawing mean. */
function Legend({ keys }: { keys: readonly Key[] }) {
  if (!keys.length) return null;
  return (
    <ul class="legend" aria-label="Legend">
      {keys.map(({ color, text, kind = "box" }) => (
        <li key={text}>
          <span class={`swatch ${kind}`} style={{ "--swatch": color }} aria-hidden="true" />
          {text}
        </li>
      ))}
    </ul>
  );
}

function Keep(props: {
  body: { current: HTMLDivElement | null };
  name: string;
  title: string;
  caption: () => Caption;
}) {
  const { body, name, title, caption } = props;
  const [said, say] = useState("");
  const menu = useRef<HTMLDetailsElement>(null);
  const close = () => {
    if (menu.current) menu.current.open = false;
  };
  const keep = async (kind: "svg" | "png") => {
    close();
    if (!body.current) return;
    const picture = pictureOf(body.current, caption());
    if (kind === "svg") return save(`${name}.svg`, svgText(picture), "image/svg+xml");
    save(`${name}.png`, await pngOf(picture));
  };
  const link = async (address: string, what: string) => {
    close();
    await navigator.clipboard.writeText(address);
    say(`${what} copied`);
    setTimeout(() => say(""), 2500);
  };
  const told = (promise: Promise<void>) => promise.catch((error: Error) => say(error.message));
  return (
    <div class="keep" data-export="no">
      <span class="keep-said" role="status">
        {said}
      </span>
      <details
        ref={menu}
        onFocusOut={(event) => {
          if (!event.currentTarget.contains(event.relatedTarget as Node | null)) close();
        }}
        onKeyDown={(event) => event.key === "Escape" && close()}
      >
        <summary aria-label={`Keep or share: ${title}`} title="Keep or share">
          <svg viewBox="0 0 20 20" width="16" height="16" aria-hidden="true" data-export="no">
            <path
              d="M10 3v9m-3.5-3.5L10 12l3.5-3.5M4 13v3h12v-3"
              fill="none"
              stroke="currentColor"
              stroke-width="1.6"
            />
          </svg>
        </summary>
        <div class="keep-choices">
          <button type="button" onClick={() => told(keep("svg"))}>
            Picture, SVG
          </button>
          <button type="button" onClick={() => told(keep("png"))}>
            Picture, PNG
          </button>
          <button type="button" onClick={() => told(link(shareable(location.href), "Link"))}>
            Copy link
          </button>
          <button type="button" onClick={() => told(link(embedded(title), "Frame"))}>
            Copy frame for a web page
          </button>
        </div>
      </details>
    </div>
  );
}

/** HTML that shows this view, without the bar, in another page. */
function embedded(title: string): string {
  const address = new URL(shareable(location.href));
  const [path, query = ""] = address.hash.split("?");
  const more = new URLSearchParams(query);
  more.set("embed", "1");
  address.hash = `${path || "#/"}?${more}`;
  const frame = document.createElement("iframe");
  frame.src = address.href;
  frame.title = title;
  frame.setAttribute("style", "width: 100%; height: 640px; border: 0");
  return frame.outerHTML;
}
