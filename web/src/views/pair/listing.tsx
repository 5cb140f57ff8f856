import type { ComponentChildren } from "preact";
import { type ColumnOf, Table } from "../../parts/table";
import { useWidth } from "../../parts/use";
import { numberOf } from "../../state";
import type { ViewProps } from "../view";
import type { LabelOf } from "./named";
import { type Side, Sides } from "./sides";
import "./lists.css";

const NARROW = 640; // pixels of a list in which a row's features stand below each other
const [ROW, TWO] = [36, 60];

/** A list of features of two SAEs, and what those of the picked row fire on. */
export function Listing<Row>(
  props: ViewProps & {
    /** Of its file. */
    name: string;
    title: string;
    /** What the list is, in a sentence. */
    says: ComponentChildren;
    columns: (narrow: boolean) => readonly ColumnOf<Row>[];
    rows: readonly Row[];
    /** What the URL calls a row. */
    keyOf: (row: Row) => number;
    sides: (row: Row) => readonly Side[];
    /** What is to be known of the picked row. */
    told: (row: Row) => ComponentChildren;
    label: LabelOf;
    sort?: string | null;
    descending?: boolean;
    onSort?: (key: string) => void;
    /** A row that is picked although the list need not have it. */
    picked?: Row | null;
    children?: ComponentChildren;
  },
) {
  const { state, go, rows, keyOf } = props;
  const [box, width] = useWidth<HTMLDivElement>();
  const asked = numberOf(state.more.pick);
  const picked =
    props.picked ?? rows.find((row) => asked !== null && keyOf(row) === asked) ?? rows[0];
  const narrow = width > 0 && width < NARROW;
  return (
    <>
      <p class="aside list-says" role="status" data-testid="list-says">
        {props.says}
      </p>
      {props.children}
      <div class="pair-list-and-contexts">
        <div ref={box}>
          <Table
            name={props.name}
            label={props.title}
            columns={props.columns(narrow)}
            count={rows.length}
            row={(index) => rows[index]}
            sort={props.sort}
            descending={props.descending}
            onSort={props.onSort}
            onOpen={(row) => go({ more: { pick: keyOf(row) } }, { replace: true })}
            height={narrow ? 440 : 520}
            rowHeight={narrow ? TWO : ROW}
          />
        </div>
        {picked !== undefined && (
          <Sides {...props} sides={props.sides(picked)}>
            {props.told(picked)}
          </Sides>
        )}
      </div>
    </>
  );
}

/** A column of numbers. */
export function numeric<Row>(
  key: string,
  title: string,
  show: (row: Row) => string,
  text: (row: Row) => number | null,
  more: Partial<ColumnOf<Row>> = {},
): ColumnOf<Row> {
  return { key, title, numeric: true, sorts: true, width: "4.8em", show, text, ...more };
}
