import { useMemo } from "preact/hooks";
import { by, type Listed } from "../../data/communities";
import { count, percent } from "../../draw/format";
import { Explained } from "../../parts/explained";
import { type ColumnOf, Table } from "../../parts/table";

const ORDERS = ["size", "sites", "agreement"] as const;
type Order = (typeof ORDERS)[number];

/** All communities, the cleanest first; those whose label holds `wanted`. */
export function CommunityList(props: {
  communities: readonly Listed[];
  chosen: number | null;
  wanted: string;
  /** The column that they are ordered by; null: how clean they are. */
  order: string | null;
  onWanted: (text: string) => void;
  onOrder: (order: string | null) => void;
  onOpen: (community: number) => void;
}) {
  const { communities, chosen } = props;
  const order = ORDERS.find((known) => known === props.order) ?? null;
  const wanted = props.wanted.trim().toLowerCase();
  const shown = useMemo(() => {
    const kept = communities.filter((one) => (one.label ?? "").toLowerCase().includes(wanted));
    return order ? kept.sort(by(order)) : kept;
  }, [communities, wanted, order]);
  const number = (key: Order, title: string, hint: string, say: (value: number) => string) => ({
    key,
    title,
    hint,
    numeric: true,
    sorts: true,
    width: "4.3em",
    text: (one: Listed) => one[key],
    show: (one: Listed) => say(one[key]),
  });
  const columns: ColumnOf<Listed>[] = [
    {
      key: "label",
      title: "Fires on",
      hint: "the tokens that set its features apart",
      width: "8.5em",
      grows: true,
      text: (one) => one.label,
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
    number("size", "Features", "how many features it has", count),
    number("sites", "SAEs", "how many SAEs it touches", count),
    number(
      "agreement",
      "Agree",
      "the share of its features' top contexts that have a token of its label",
      percent,
    ),
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
      <p class="aside">
        <span role="status">{count(shown.length)} communities</span>,{" "}
        {order ? (
          <button type="button" class="linklike" onClick={() => props.onOrder(null)}>
            order by how clean they are
          </button>
        ) : (
          <Explained term="clean">the cleanest first</Explained>
        )}
      </p>
      <Table
        name="communities"
        label="Communities"
        columns={columns}
        count={shown.length}
        row={(index) => shown[index]}
        sort={order}
        descending
        onSort={(key) => props.onOrder(key === order ? null : key)}
        onOpen={(one) => props.onOpen(one.community)}
        height={560}
        testid="communities"
      />
    </div>
  );
}
