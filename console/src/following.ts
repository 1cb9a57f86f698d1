/**
 * Calls `follow` while the page is seen, and again `againMs` after it has returned true; false ends it. Its signal aborts
 * once the page is hidden: browsers keep few connections to one host for all tabs together. A page that is seen again
 * follows anew. Returns the function that ends it.
 */
export function keepFollowing(follow: (signal: AbortSignal) => Promise<boolean>, againMs: number): () => void {
  let timer = 0;
  let stop = new AbortController();
  const begin = async () => {
    clearTimeout(timer);
    stop.abort();
    if (document.hidden) return;
    stop = new AbortController();
    const { signal } = stop;
    const goesOn = await follow(signal);
    if (signal.aborted) return;
    if (goesOn) timer = setTimeout(begin, againMs);
    else end();
  };
  const end = () => {
    stop.abort();
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", begin);
  };
  document.addEventListener("visibilitychange", begin);
  void begin();
  return end;
}
