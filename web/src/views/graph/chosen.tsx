import { grouped, type Marks, named, pinned } from "../../data/marks";
import type { Neighbourhood } from "../../data/neighbourhood";
import { FeatureChip } from "../../parts/chip";
import { Field } from "../../parts/field";
import { changed, writeHash } from "../../state";
import type { ViewProps } from "../view";

/** The features that are chosen, and what may be done with them. */
export function Chosen(
  props: ViewProps & {
    graph: Neighbourhood;
    marks: Marks;
    chosen: readonly number[];
    mark: (next: Marks) => void;
  },
) {
  const { explorer, state, go, graph, marks, chosen, mark } = props;
  const lives = chosen.flatMap((node) => graph.nodes.find((life) => life.node === node) ?? []);
  const nodes = lives.map((life) => life.node);
  const group = marks.groups.find((one) => nodes.every((node) => one.nodes.includes(node)));
  if (!lives.length) {
    return (
      <section class="chosen-box">
        <h2>Chosen</h2>
        <p class="aside">
          Click a feature to pin, name or group it. Pinned features and groups stay when the
          cut-offs change; groups lie in lanes of their own.
        </p>
      </section>
    );
  }
  const all = nodes.every((node) => marks.pins.includes(node));
  return (
    <section class="chosen-box" aria-labelledby="graph-chosen">
      <h2 id="graph-chosen">Chosen</h2>
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
          onClick={() => go({ ...explorer.feature(nodes[0]), more: { community: null } })}
        >
          Centre here
        </button>
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
    </section>
  );
}
