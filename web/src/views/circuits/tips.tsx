import type { About, Edge, Mark } from "../../data/circuits";
import type { Run } from "../../data/run";
import { figure, percent } from "../../draw/format";
import { layersOf, nameOf, tokenText } from "./labels";

/** What is known of a mark that is pointed at. */
export function MarkFacts({ run, about, mark }: { run: Run; about: About; mark: Mark }) {
  const [node] = mark.nodes;
  const place = mark.kind === "feature" || mark.kind === "error";
  return (
    <>
      <p class="tip-title">
        {mark.kind === "token" ? (
          `token ${mark.position}`
        ) : mark.kind === "logit" ? (
          "next token"
        ) : (
          <>
            layer {layersOf(run, mark)} on “
            <bdi>{tokenText(about.tokens[mark.position] ?? "")}</bdi>”
          </>
        )}
      </p>
      <p class="tip-label">
        <bdi>{nameOf(mark)}</bdi>
      </p>
      <dl class="tip-facts">
        {mark.kind === "logit" && (
          <>
            <dt>probability</dt>
            <dd>{percent(node.probability)}</dd>
          </>
        )}
        {mark.nodes.length > 1 ? (
          <>
            <dt>features</dt>
            <dd>{mark.nodes.length}</dd>
          </>
        ) : (
          mark.kind === "feature" && (
            <>
              <dt>activation</dt>
              <dd>{figure(node.activation)}</dd>
            </>
          )
        )}
        {(place || mark.kind === "token") && (
          <>
            <dt>influence</dt>
            <dd>{percent(mark.influence)}</dd>
          </>
        )}
      </dl>
    </>
  );
}

/** What is known of an edge that is pointed at. */
export function EdgeFacts({ run, edge }: { run: Run; edge: Edge }) {
  const single = edge.source.nodes.length === 1 && edge.target.nodes.length === 1;
  return (
    <>
      <p class="tip-label">
        <bdi>{nameOf(edge.source)}</bdi> → <bdi>{nameOf(edge.target)}</bdi>
      </p>
      <p class="tip-title">
        {[edge.source, edge.target].map((mark) => layersOf(run, mark) || mark.kind).join(" → ")}
      </p>
      <dl class="tip-facts">
        {single && (
          <>
            <dt>effect</dt>
            <dd>{figure(edge.effect)}</dd>
          </>
        )}
        <dt>of what enters the target</dt>
        <dd>{percent(edge.share)}</dd>
        <dt>of all influence</dt>
        <dd>{percent(edge.weight)}</dd>
      </dl>
    </>
  );
}
