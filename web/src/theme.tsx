import { useLayoutEffect, useState } from "preact/hooks";

/** Light or dark, as the URL says or else the system; the switch that changes it. */
export function useTheme(chosen: string | undefined, choose: (theme: string) => void) {
  const query = matchMedia("(prefers-color-scheme: dark)");
  const [dark, setDark] = useState(query.matches);
  useLayoutEffect(() => {
    const follow = () => setDark(query.matches);
    query.addEventListener("change", follow);
    return () => query.removeEventListener("change", follow);
  }, []);
  const theme = chosen === "dark" || chosen === "light" ? chosen : dark ? "dark" : "light";
  // while it renders, not after: what is drawn on the page below takes its colours from there
  document.documentElement.dataset.theme = theme;
  const other = theme === "dark" ? "light" : "dark";
  return (
    <button
      type="button"
      class="theme"
      aria-label={`Switch to ${other} colours`}
      title={`Switch to ${other} colours`}
      data-testid="theme"
      onClick={() => choose(other)}
    >
      <svg viewBox="0 0 20 20" width="18" height="18" aria-hidden="true">
        <circle cx="10" cy="10" r="7" fill="none" stroke="currentColor" stroke-width="1.5" />
        <path d="M10 3a7 7 0 0 1 0 14Z" fill="currentColor" />
      </svg>
    </button>
  );
}
