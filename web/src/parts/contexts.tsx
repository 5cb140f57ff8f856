import type { Contexts } from "../data/tables";
import { visible } from "../data/tokens";
import { figure } from "../draw/format";

/** Where a feature fires: each token shaded by its activation, within the text around it. */
export function ContextList({ contexts, limit = 8 }: { contexts: Contexts; limit?: number }) {
  const shown = contexts.contexts.slice(0, limit);
  const most = contexts.max || shown[0]?.activation || 1;
  return (
    <ol class="contexts">
      {shown.map((context, i) => {
        const [, space, token, rest] = /^(\s*)(.*?)(\s*)$/su.exec(context.token) ?? [];
        const blank = !token;
        const share = Math.max(0, Math.min(1, context.activation / most));
        return (
          <li key={i} class="context">
            <p class="context-text" dir="auto">
              <span class="context-before">{visible(context.before)}{blank ? "" : visible(space)}</span>
              <mark
                class={share > 0.66 ? "token strong" : "token"}
                style={{ "--share": share.toFixed(3) }}
                title={`activation ${figure(context.activation)}`}
              >
                {visible(blank ? context.token : token)}
              </mark>
              <span class="context-after">{blank ? "" : visible(rest)}{visible(context.after)}</span>
            </p>
            <span class="context-value">{figure(context.activation)}</span>
          </li>
        );
      })}
    </ol>
  );
}
