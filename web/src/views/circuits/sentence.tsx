import type { ComponentChildren } from "preact";
import {
  type Circuit,
  figuresOf,
  type Mark,
  type Path,
  type Picture,
  predicted,
} from "../../data/circuits";
import type { Run } from "../../data/run";
import { count, percent, several } from "../../draw/format";
import { changed, type State, writeHash } from "../../state";
import { layersOf, nameOf, tokenText } from "./labels";

const ORIGINS = 3; // tokens that are named

/** What a circuit says, in sentences made of its numbers, and what it leaves open. */
export function Sentence(props: {
  run: Run;
  state: State;
  circuit: Circuit;
  picture: Picture;
  path: Path;
  onChoose: (mark: Mark) => void;
}) {
  const { run, circuit, picture, path } = props;
  const next = predicted(circuit.nodes);
  const its = figuresOf(circuit);
  const known = (value: number) => !Number.isNaN(value);
  return (
    <p class="circuit-sentence" data-testid="sentence">
      <b>
        {count(its.features)}
        {known(its.active) && ` of ${count(its.active)} active`}{" "}
        {its.features === 1 && !known(its.active) ? "feature" : "features"}
      </b>
      {its.tracks > 0 && `, ${several(its.tracks, "track")} and ${count(its.alone)} alone,`}
      {known(its.share) ? ` have ${percent(its.share)} of all influence on ` : " lead to "}
      {next ? (
        <>
          the next token, <Quoted text={next.token} /> ({percent(next.probability)}).
        </>
      ) : (
        "the next token."
      )}
      {known(its.errors) && (
        <>
          {" "}
          It begins in{" "}
          {its.origins.slice(0, ORIGINS).map((node) => (
            <span key={node.id}>
              <MarkLink {...props} mark={picture.markOf.get(node.id) as Mark}>
                <Quoted text={node.token} />
              </MarkLink>{" "}
              ({percent(node.influence)}),{" "}
            </span>
          ))}
          {its.origins.length > ORIGINS && "other tokens, "}
          and in errors, what the SAEs leave out ({percent(its.errors)}).
        </>
      )}
      {path.marks.length > 1 && (
        <>
          {" "}
          The strongest path, {percent(path.share)} of it, runs{" "}
          {path.marks.map((mark, i) => (
            <span key={mark.key}>
              {joint(i, path.marks.length)}
              <MarkLink {...props} mark={mark}>
                {mark.kind === "feature" || mark.kind === "error" ? (
                  <>
                    <bdi>{nameOf(mark)}</bdi> ({layersOf(run, mark)})
                  </>
                ) : (
                  <Quoted text={mark.nodes[0].token} />
                )}
              </MarkLink>
            </span>
          ))}
          .
        </>
      )}
    </p>
  );
}

function Quoted({ text }: { text: string }) {
  return (
    <>
      “<bdi>{tokenText(text)}</bdi>”
    </>
  );
}

function joint(i: number, length: number): string {
  if (i === 0) return "from ";
  if (i === length - 1) return " to ";
  return i === 1 ? " through " : ", ";
}

function MarkLink(props: {
  state: State;
  mark: Mark;
  onChoose: (mark: Mark) => void;
  children: ComponentChildren;
}) {
  return (
    <a
      href={writeHash(changed(props.state, { more: { node: props.mark.key } }))}
      onClick={(event) => {
        if (event.metaKey || event.ctrlKey || event.shiftKey || event.button) return;
        event.preventDefault();
        props.onChoose(props.mark);
      }}
    >
      {props.children}
    </a>
  );
}
