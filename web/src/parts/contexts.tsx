import type { Contexts } from "../data/tables";
import { shortened, visible } from "../data/tokens";
import { figure } from "../draw/format";

const LONGEST = 160; // characters of a token, and of the text on either side of it

/** Where a feature fires: each token shaded by its activation, within the text around it. */
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
        const share = Math.max(0, Math.min(1, context.activation / most));
        return (
          <li key={i} class="context">
            <p class="context-text" dir="auto">
              <span class="context-before">
                {before}
                {blank ? "" : visible(space)}
              </span>
              <mark
                class={share > 0.66 ? "token strong" : "token"}
                style={{ "--share": share.toFixed(3) }}
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
