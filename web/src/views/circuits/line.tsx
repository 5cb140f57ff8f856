import type { Mark } from "../../data/circuits";
import type { Run } from "../../data/run";
import { percent } from "../../draw/format";
import { changed, type State, writeHash } from "../../state";
import { layersOf, nameOf, tokenText } from "./labels";

/** A mark as a line that leads to it: its name, where it is, a share and a bar of it. */
export function MarkLine(props: {
  run: Run;
  state: State;
  mark: Mark;
  /** The token that it stands on. */
  token: string;
  share: number;
  signed?: boolean;
  /** The largest share of the list. */
  most: number;
  title?: string;
  onChoose: (mark: Mark) => void;
}) {
  const { run, state, mark, share, signed, onChoose } = props;
  const size = Math.abs(share);
  return (
    <li>
      <a
        class={!signed ? undefined : share < 0 ? "minus" : "plus"}
        href={writeHash(changed(state, { more: { node: mark.key } }))}
        title={props.title}
        data-testid="circuit-line"
        onClick={(event) => {
          if (event.metaKey || event.ctrlKey || event.shiftKey || event.button) return;
          event.preventDefault();
          onChoose(mark);
        }}
      >
        <bdi class="line-name">{nameOf(mark)}</bdi>
        <span class="line-share">
          {signed && (share < 0 ? "−" : "+")}
          {percent(size)}
        </span>
        <span class="line-place">
          {mark.kind === "token" && `token ${mark.position}`}
          {mark.kind === "logit" && "next token"}
          {(mark.kind === "feature" || mark.kind === "error") && (
            <>
              {layersOf(run, mark)} on “<bdi>{tokenText(props.token)}</bdi>”
            </>
          )}
        </span>
        <span class="line-bar" style={{ "--share": (size / props.most).toFixed(3) }} />
      </a>
    </li>
  );
}
