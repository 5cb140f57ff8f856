import { useState } from "preact/hooks";
import type { About, Edge, Mark } from "../../data/circuits";
import type { Explorer } from "../../data/explorer";
import type { Run } from "../../data/run";
import type { Data } from "../../data/tables";
import { count, figure, percent, several } from "../../draw/format";
import { FeatureChip } from "../../parts/chip";
import { ContextList } from "../../parts/contexts";
import { Failure } from "../../parts/notices";
import { latest, useLoaded } from "../../parts/use";
import { changed, type Go, type State, writeHash } from "../../state";
import { layersOf, nameOf, tokenText } from "./labels";
import { MarkLine } from "./line";

const MOST = 8; // lines of a list

export interface PanelProps {
  run: Run;
  data: Data;
  explorer: Explorer;
  state: State;
  go: Go;
  about: About;
  edges: readonly Edge[];
  onChoose: (mark: Mark | null) => void;
}

/** What is known of a mark: what it is, what makes it, what it makes, where else it fires. */
export function Panel(props: PanelProps & { mark: Mark }) {
  const { run, about, edges, mark, onChoose } = props;
  const causes = edges.filter((edge) => edge.target === mark);
  const effects = edges.filter((edge) => edge.source === mark);
  const where = tokenText(about.tokens[mark.position] ?? "");
  return (
    <section class="circuit-chosen" aria-label="The chosen node" data-testid="circuit-panel">
      <header>
        <p class="eyebrow">
          {mark.kind === "token" && `Token ${mark.position} of the prompt`}
          {mark.kind === "logit" && `Next token, ${percent(mark.nodes[0].probability)}`}
          {mark.kind === "error" && `What the SAE of layer ${layersOf(run, mark)} leaves out`}
          {mark.kind === "feature" &&
            (mark.nodes.length > 1
              ? `${several(mark.nodes.length, "feature")}, layers ${layersOf(run, mark)}`
              : `Feature, layer ${layersOf(run, mark)}`)}
          {(mark.kind === "feature" || mark.kind === "error") && (
            <>
              , on “<bdi>{where}</bdi>”
            </>
          )}
        </p>
        <button
          type="button"
          class="close"
          aria-label="Let go of this node"
          onClick={() => onChoose(null)}
        >
          ×
        </button>
        <h2>
          <bdi>{nameOf(mark)}</bdi>
        </h2>
        {mark.kind !== "logit" && (
          <p class="circuit-facts">
            <b>{percent(mark.influence)}</b> of the influence on the next token passes through it
            {mark.kind === "feature" && mark.nodes.length === 1 && (
              <> · activation {figure(mark.nodes[0].activation)}</>
            )}
          </p>
        )}
      </header>
      <Lines
        {...props}
        title="Causes"
        hint="share of what enters it"
        edges={causes}
        end={(edge) => edge.source}
        none={
          mark.kind === "token"
            ? "A token of the prompt is where it begins."
            : mark.kind === "error"
              ? "What an SAE leaves out is taken as given."
              : "None that matter."
        }
      />
      <Lines
        {...props}
        title="Effects"
        hint="share of what enters them"
        edges={effects}
        end={(edge) => edge.target}
        none={mark.kind === "logit" ? "The next token is where it ends." : "None that matter."}
      />
      {mark.kind === "feature" && <Features key={mark.key} {...props} />}
    </section>
  );
}

function Lines(
  props: PanelProps & {
    title: string;
    hint: string;
    edges: readonly Edge[];
    end: (edge: Edge) => Mark;
    none: string;
  },
) {
  const { run, about, state, edges, end, onChoose } = props;
  const [all, setAll] = useState(false);
  const order = [...edges].sort((x, y) => y.share - x.share);
  const most = order[0]?.share ?? 1;
  const left = order.length - MOST;
  return (
    <div class="circuit-lines">
      <h3>
        {props.title} {edges.length > 0 && <span>{props.hint}</span>}
      </h3>
      {!edges.length && <p class="aside">{props.none}</p>}
      <ol>
        {(all ? order : order.slice(0, MOST)).map((edge) => {
          const other = end(edge);
          return (
            <MarkLine
              key={edge.key}
              run={run}
              state={state}
              mark={other}
              token={about.tokens[other.position] ?? ""}
              share={edge.share}
              sign={edge.effect < 0 ? "minus" : "plus"}
              most={most}
              title={`effect ${figure(edge.effect)}, ${percent(edge.weight)} of all influence`}
              onChoose={onChoose}
            />
          );
        })}
      </ol>
      {left > 0 && (
        <button type="button" class="linklike" onClick={() => setAll(!all)}>
          {all ? "only the strongest" : `${count(left)} more`}
        </button>
      )}
    </div>
  );
}

/** Features of a mark as links to their lives, and what the one that is looked at fires on. */
function Features(props: PanelProps & { mark: Mark }) {
  const { run, data, explorer, state, go, mark } = props;
  const known = mark.nodes.filter((node) => node.site !== null && run.has(node.site));
  const strongest = [...known].sort((x, y) => (y.influence || 0) - (x.influence || 0))[0];
  const [id, setId] = useState(strongest?.id);
  const node = known.find((one) => one.id === id) ?? strongest;
  const loaded = useLoaded(
    async () =>
      node?.site && node.feature < run.sae(node.site).d_sae
        ? data.contextsOf(explorer, node.site, node.feature)
        : null,
    [node?.id],
  );
  if (!node?.site) return null;
  const contexts = latest(loaded);
  return (
    <div class="circuit-features">
      <h3>{known.length > 1 ? "Its features, and what they fire on" : "What it fires on"}</h3>
      {known.length > 1 && (
        <ul aria-label="Features of this node">
          {known.map((one) => (
            <li key={one.id}>
              <button
                type="button"
                aria-pressed={one === node}
                title={`${one.site} ${one.feature}: activation ${figure(one.activation)}, influence ${percent(one.influence)}`}
                onClick={() => setId(one.id)}
              >
                <span>{run.short(one.site as string)}</span>
              </button>
            </li>
          ))}
        </ul>
      )}
      <p class="circuit-life">
        <FeatureChip
          site={node.site}
          feature={node.feature}
          label={node.label}
          go={go}
          href={writeHash(changed(state, { view: "life", site: node.site, feature: node.feature }))}
        />
        {known.length > 1 && (
          <span class="muted">
            activation {figure(node.activation)}, influence {percent(node.influence)}
          </span>
        )}
      </p>
      {loaded.status === "error" && <Failure error={loaded.error} />}
      {contexts && <ContextList contexts={contexts} limit={5} />}
      {contexts === null && <p class="aside">The run has no contexts of this feature.</p>}
    </div>
  );
}
