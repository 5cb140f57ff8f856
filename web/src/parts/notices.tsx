import type { ComponentChildren } from "preact";
import { FileError } from "../data/files";
import { RunError } from "../data/run";

/** Says that something is on its way; appears only after a moment, so that it does not flash. */
export function Loading({ what }: { what: string }) {
  return (
    <p class="notice loading" role="status" aria-busy={true}>
      Reading {what} …
    </p>
  );
}

/** Says that there is nothing, and what to do. */
export function Empty({ title, children }: { title: string; children?: ComponentChildren }) {
  return (
    <div class="notice empty">
      <p class="notice-title">{title}</p>
      {children && <p>{children}</p>}
    </div>
  );
}

/** Says what went wrong, and what to do. */
export function Failure({ error }: { error: Error }) {
  const gone = error instanceof FileError && error.status === 404;
  return (
    <div class="notice failure" role="alert">
      <p class="notice-title">This could not be shown</p>
      <p class="notice-why">{error.message}</p>
      {gone && (
        <p>
          The run may have changed, or been copied in part: explore it anew with{" "}
          <code>saematch explore RUN</code>.
        </p>
      )}
      {!gone && !(error instanceof RunError) && (
        <p>
          <button type="button" class="button" onClick={() => location.reload()}>
            Reload the page
          </button>
        </p>
      )}
    </div>
  );
}
