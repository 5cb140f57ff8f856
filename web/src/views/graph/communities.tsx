import { useMemo } from "preact/hooks";
import type { Listed } from "../../data/communities";
import { count } from "../../draw/format";
import { type ColumnOf, Table } from "../../parts/table";

/** All communities, the largest first; those whose label holds `wanted`. */
export function CommunityList(props: {
  communities: readonly Listed[];
  chosen: number | null;
  wanted: string;
  onWanted: (text: string) => void;
  onOpen: (community: number) => void;
}) {
  const { communities, chosen } = props;
  const wanted = props.wanted.trim().toLowerCase();
  const shown = useMemo(
    () =>
      wanted
        ? communities.filter((one) => (one.label ?? "").toLowerCase().includes(wanted))
        : communities,
    [communities, wanted],
  );
  const columns: ColumnOf<Listed>[] = [
    {
      key: "label",
      title: "Tokens that set it apart",
      show: (one) => (
        <span class={one.community === chosen ? "named strong" : "named"}>
          {one.label === null ? (
            <span class="muted">no label: no contexts</span>
          ) : (
            <bdi title={one.label}>{one.label}</bdi>
          )}
        </span>
      ),
    },
    {
      key: "size",
      title: "Features",
      numeric: true,
      width: "5.2em",
      show: (one) => count(one.size),
    },
    {
      key: "sites",
      title: "Layers",
      numeric: true,
      width: "4.4em",
      show: (one) => count(one.sites),
    },
  ];
  return (
    <div class="communities">
      <input
        type="search"
        class="filter"
        placeholder="Filter by token"
        aria-label="Filter communities by token"
        value={props.wanted}
        onInput={(event) => props.onWanted(event.currentTarget.value)}
      />
      <p class="aside" role="status">
        {count(shown.length)} communities
      </p>
      <Table
        name="communities"
        label="Communities"
        columns={columns}
        count={shown.length}
        row={(index) => shown[index]}
        onOpen={(one) => props.onOpen(one.community)}
        height={600}
        testid="communities"
      />
    </div>
  );
}
