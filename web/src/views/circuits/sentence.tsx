import type { ComponentChildren } from "preact";
import {
  type Circuit,
  leftToErrors,
  type Mark,
  type Node,
  type Picture,
  predicted,
} from "../../data/circuits";
import type { Run } from "../../data/run";
import { visible } from "../../data/tokens";
import { count, percent, several } from "../../draw/format";
import { changed, type State, writeHash } from "../../state";
import { layersOf, nameOf, tokenText } from "./labels";

/** What a circuit says, in one sentence made of its numbers, and what it leaves open. */
export function Sentence(props: {
  run: Run;
  state: State;
  circuit: Circuit;
  picture: Picture;
  path: readonly Mark[];
  onChoose: (mark: Mark) => void;
}) {
  const { run, state, circuit, picture, path, onChoose } = props;
  const { about, nodes } = circuit;
  const next = predicted(nodes);
  const features = nodes.filter((node) => node.kind === "feature");
  const groups = picture.marks.filter((mark) => mark.nodes.length > 1).length;
  const errors = leftToErrors(nodes);
  const link = (mark: Mark, text: ComponentChildren) => (
    <a
      href={writeHash(changed(state, { more: { node: mark.key } }))}
      onClick={(event) => {
        if (event.metaKey || event.ctrlKey || event.shiftKey || event.button) return;
        event.preventDefault();
        onChoose(mark);
      }}
    >
      {text}
    </a>
  );
  return (
    <p class="circuit-sentence" data-testid="sentence">
      <b>{several(features.length, "feature")}</b>
      {about.nodes_before ? ` of ${count(about.nodes_before)} nodes` : ""}
      {groups > 0 &&
        `, drawn as ${count(picture.marks.filter((m) => m.kind === "feature").length)}`}
      {next && (
        <>
          {" "}
          lead to “<bdi>{tokenText(next.token)}</bdi>” ({percent(next.probability)})
        </>
      )}
      {path.length > 1 && (
        <>
          ; the strongest path runs{" "}
          {path.map((mark, i) => (
            <span key={mark.key}>
              {i === 0 ? "from " : i === path.length - 1 ? " to " : i === 1 ? " through " : ", "}
              {link(
                mark,
                mark.kind === "feature" || mark.kind === "error" ? (
                  <>
                    <bdi>{nameOf(mark)}</bdi> ({layersOf(run, mark)})
                  </>
                ) : (
                  <>
                    “<bdi>{nameOf(mark)}</bdi>”
                  </>
                ),
              )}
            </span>
          ))}
        </>
      )}
      .{!Number.isNaN(errors) && ` ${percent(errors)} of the influence is left to errors.`}
    </p>
  );
}

/** A prompt as its tokens say it. */
export function promptOf(circuit: { prompt: string }): string {
  return visible(circuit.prompt);
}

export type { Node };
