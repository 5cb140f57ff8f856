import { grouped, type Marks, named, pinned } from "../../data/marks";
import type { Neighbourhood } from "../../data/neighbourhood";
import { figure, percent } from "../../draw/format";
import { FeatureChip } from "../../parts/chip";
import { ContextList } from "../../parts/contexts";
import { Field } from "../../parts/field";
import { Failure, Loading } from "../../parts/notices";
import { useLoaded } from "../../parts/use";
import { changed, writeHash } from "../../state";
import type { ViewProps } from "../view";

const CONTEXTS = 6;

/** The features that are chosen: what they fire on, and what may be done with them. */
export function Chosen(
  props: ViewProps & {
    graph: Neighbourhood;
    marks: Marks;
    chosen: readonly number[];
    mark: (next: Marks) => void;
  },
) {
  const { data, explorer, state, go, graph, marks, chosen, mark } = props;
  const lives = chosen.flatMap((node) => graph.nodes.find((life) => life.node === node) ?? []);
  const nodes = lives.map((life) => life.node);
  const last = lives[lives.length - 1];
  const contexts = useLoaded(
    async () => (last ? data.contextsAt(last.site, last.context) : null),
    [last?.node],
  );
  if (!last) return null;
  const group = marks.groups.find((one) => nodes.every((node) => one.nodes.includes(node)));
  const all = nodes.every((node) => marks.pins.includes(node));
  return (
    <section class="chosen-box" aria-labelledby="graph-chosen" data-testid="graph-chosen">
      <header>
        <h2 id="graph-chosen">{lives.length > 1 ? `${lives.length} features` : "The feature"}</h2>
        <button
          type="button"
          class="close"
          aria-label="Let go of what is chosen"
          onClick={() => go({ more: { chosen: null } }, { replace: true })}
        >
          ×
        </button>
      </header>
      <ul>
        {lives.map((life) => (
          <li key={life.node}>
            <FeatureChip
              site={life.site}
              feature={life.feature}
              label={life.label}
              go={go}
              href={writeHash(
                changed(state, { view: "life", site: life.site, feature: life.feature }),
              )}
            />
            <Field
              class="filter"
              label={`Name of ${life.site} ${life.feature}`}
              placeholder="Name it"
              maxLength={200}
              value={marks.names.get(life.node) ?? ""}
              onDone={({ value }) => mark(named(marks, life.node, value))}
            />
          </li>
        ))}
      </ul>
      <div class="chosen-do">
        <button type="button" class="button" onClick={() => mark(pinned(marks, nodes))}>
          {all ? "Unpin" : "Pin"}
        </button>
        <button
          type="button"
          class="button"
          onClick={() => go({ ...explorer.feature(last.node), more: { community: null } })}
        >
          Centre here
        </button>
        <a
          class="button"
          href={writeHash(changed(state, { view: "life", site: last.site, feature: last.feature }))}
        >
          Its life
        </a>
        <form
          onSubmit={(event) => {
            event.preventDefault();
            const field = event.currentTarget.elements.namedItem("group") as HTMLInputElement;
            mark(grouped(marks, nodes, field.value.trim()));
          }}
        >
          <input
            class="filter"
            name="group"
            aria-label="Group of the chosen features"
            placeholder="Name of a group"
            maxLength={200}
            list="graph-groups"
            defaultValue={group?.name ?? ""}
            key={`${nodes.join("_")} ${group?.name ?? ""}`}
          />
          <datalist id="graph-groups">
            {marks.groups.map((one) => (
              <option key={one.name} value={one.name} />
            ))}
          </datalist>
          <button type="submit" class="button">
            Group
          </button>
        </form>
        {group && (
          <button type="button" class="button" onClick={() => mark(grouped(marks, nodes, ""))}>
            Ungroup
          </button>
        )}
      </div>
      <h3>
        What <bdi class="site">{last.site}</bdi> {last.feature} fires on
      </h3>
      <p class="aside">
        {percent(last.frequency)} of tokens, at most {figure(last.maxActivation)}
      </p>
      {contexts.status === "error" && <Failure error={contexts.error} />}
      {contexts.status === "loading" && <Loading what="contexts" />}
      {contexts.status === "ready" &&
        (contexts.value ? (
          <ContextList contexts={contexts.value} limit={CONTEXTS} />
        ) : (
          <p class="aside">The run has no contexts of this feature.</p>
        ))}
    </section>
  );
}
