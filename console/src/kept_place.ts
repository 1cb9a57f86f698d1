import { useLayoutEffect, useRef } from "preact/hooks";

interface Props {
  isSeen: boolean;
  /** The task whose page is seen now. */
  task: string | undefined;
  /** Whether the view is seen for its form, above the list: how far it is scrolled then is not kept. */
  isForm: boolean;
}

/**
 * Keeps how far the first view is scrolled while another page is seen in its place. When the view is seen again, it is
 * scrolled there, and the link to the task that was looked at has the focus. From the form, several steps back at once
 * lead to the top: the form and the list are one view.
 *
 * It draws nothing, and stands before the list: the effects of what stands before run first. A list that measured before
 * it is scrolled would draw its first rows, and the link would be gone.
 */
export function KeptPlace({ isSeen, task, isForm }: Props): null {
  const top_px = useRef<number | undefined>(undefined);
  const lookedAt = useRef<string | undefined>(undefined);
  if (!isSeen) lookedAt.current = task;
  // The browser would scroll by itself on Back and Forward, to the places of pages that are not drawn yet.
  useLayoutEffect(() => {
    history.scrollRestoration = "manual";
  }, []);
  useLayoutEffect(() => {
    if (!isSeen) return;
    if (top_px.current !== undefined && !isForm) {
      scrollTo(0, top_px.current);
      const link = document.querySelector<HTMLElement>(`.songs [href="#/tasks/${lookedAt.current}"]`);
      link?.focus({ preventScroll: true });
    }
  }, [isSeen]);
  // An effect of the layout: it no longer listens when the browser scrolls for the other page, which is shorter.
  useLayoutEffect(() => {
    if (!isSeen || isForm) return;
    const keep = () => {
      top_px.current = scrollY;
    };
    keep();
    addEventListener("scroll", keep, { passive: true });
    return () => removeEventListener("scroll", keep);
  }, [isSeen, isForm]);
  return null;
}
