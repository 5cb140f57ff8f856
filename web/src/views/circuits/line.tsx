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
  /** Of an effect. */
  sign?: "plus" | "minus";
  /** The largest share of the list. */
  most: number;
  title?: string;
  onChoose: (mark: Mark) => void;
}) {
  const { run, state, mark, share, sign, onChoose } = props;
  return (
    <li>
      <a
        class={sign}
        href={writeHash(changed(state, { more: { node: mark.key } }))}
        title={props.title}
        data-testid="circuit-line"
        onClick={(event) => {
          if (event.metaKey || event.ctrlKey || event.shiftKey || event.button) return;
          event.preventDefault();
          onChoose(mark);
        }}
      >
        <span class="line-name">
          {mark.kind === "token" || mark.kind === "logit" ? (
            <>
              “<bdi>{nameOf(mark)}</bdi>”
            </>
          ) : (
            <bdi>{nameOf(mark)}</bdi>
          )}
        </span>
        <span class="line-share">
          {sign && (sign === "minus" ? "−" : "+")}
          {percent(share)}
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
        <span class="line-bar" style={{ "--share": (share / props.most).toFixed(3) }} />
      </a>
    </li>
  );
}
