import { useState } from "preact/hooks";
import { loaded as fromFile, writeMarks } from "../../data/marks";
import type { ViewProps } from "../view";

const OWN = [
  "back",
  "ahead",
  "p",
  "score",
  "edges",
  "community",
  "chosen",
  "pins",
  "names",
  "groups",
];

/** Opens a file that was saved here. */
export function OpenFile(props: ViewProps & { onNote: (note: string | null) => void }) {
  const { run, explorer, go, onNote } = props;
  const [failed, setFailed] = useState<string | null>(null);
  const open = async (file: File | undefined) => {
    if (!file) return;
    try {
      const graph = fromFile(await file.text(), run, explorer);
      setFailed(null);
      onNote(graph.note);
      const blank = Object.fromEntries(OWN.map((name) => [name, null]));
      go({
        view: "graph",
        site: graph.site,
        feature: graph.feature,
        more: { ...blank, ...graph.more, ...writeMarks(graph.marks) },
      });
    } catch (error) {
      setFailed((error as Error).message);
    }
  };
  return (
    <>
      <label class="button open-file">
        Open
        <input
          type="file"
          accept=".json,application/json"
          onChange={(event) => {
            void open(event.currentTarget.files?.[0]);
            event.currentTarget.value = "";
          }}
        />
      </label>
      {failed && (
        <span class="failed" role="alert">
          {failed}
        </span>
      )}
    </>
  );
}
