/**
 * Calls `look` now and again while the page is seen, and at once when it is seen again. `look` returns the
 * milliseconds until the next call; undefined ends it. After each wait it asks `isOver` whether anybody still wants to
 * know. Returns the function that ends it.
 */
export function keepLooking(look: (isOver: () => boolean) => Promise<number | undefined>, hiddenMs: number): () => void {
  let timer = 0;
  let ended = false;
  const next = async () => {
    clearTimeout(timer);
    const wait_ms = document.hidden ? hiddenMs : await look(() => ended);
    if (wait_ms === undefined) end();
    if (ended) return;
    clearTimeout(timer); // a page that is shown again looks at once, beside a look that is under way
    timer = setTimeout(next, wait_ms);
  };
  const shown = () => void (document.hidden || next());
  const end = () => {
    ended = true;
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", shown);
  };
  document.addEventListener("visibilitychange", shown);
  void next();
  return end;
}

// How soon a question is asked again that had no answer; each time twice as late, up to the longest.
const AGAIN_MS = 5000;
const LONGEST_MS = 60_000;

/**
 * Asks until there is an answer, and hands it to `found` once. `refused` hears of each failure, and returns whether asking
 * again is of no use. Returns the function that ends it.
 */
export function askUntilFound<T>(
  ask: () => Promise<T>,
  found: (answer: T) => void,
  refused: (error: unknown) => boolean,
): () => void {
  let wait_ms = AGAIN_MS / 2;
  const look = async (isOver: () => boolean) => {
    try {
      const answer = await ask();
      if (!isOver()) found(answer);
      return undefined;
    } catch (error) {
      wait_ms = Math.min(2 * wait_ms, LONGEST_MS);
      return isOver() || refused(error) ? undefined : wait_ms;
    }
  };
  return keepLooking(look, AGAIN_MS);
}
