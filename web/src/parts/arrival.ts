import { useLayoutEffect } from "preact/hooks";

/**
 * Gives the keyboard's focus to the heading of what a person has just opened.
 *
 * Not when the page itself is opened, and not where the focus is within an element that matches
 * `within`, such as a drawing that is being walked.
 */
export function useArrival(
  heading: { current: HTMLElement | null },
  on: readonly unknown[],
  within: string | null = null,
): void {
  useLayoutEffect(() => {
    if (!navigator.userActivation?.hasBeenActive) return;
    if (within && document.activeElement?.closest(within)) return;
    heading.current?.focus();
  }, on);
}
