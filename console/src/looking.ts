/**
 * Calls `look` now and again while the page is seen, and at once when it is seen again. `look` returns the
 * milliseconds until the next call. After each wait it asks `isOver` whether anybody still wants to know. Returns the
 * function that ends it.
 */
export function keepLooking(look: (isOver: () => boolean) => Promise<number>, hiddenMs: number): () => void {
  let timer = 0;
  let ended = false;
  const next = async () => {
    clearTimeout(timer);
    const wait_ms = document.hidden ? hiddenMs : await look(() => ended);
    if (ended) return;
    clearTimeout(timer); // a page that is shown again looks at once, beside a look that is under way
    timer = setTimeout(next, wait_ms);
  };
  const shown = () => void (document.hidden || next());
  document.addEventListener("visibilitychange", shown);
  void next();
  return () => {
    ended = true;
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", shown);
  };
}
