import type { Loop } from "./engine.ts";

// What is shorter stands still. Stems end a little apart.
const SHORTEST_S = 0.1;

/** Returns the loop with a change, within a song: one that would have no length reaches to the song's end or beginning. */
export function changedLoop(loop: Loop, change: Partial<Loop>, duration_s: number): Loop {
  const changed = { ...loop, ...change };
  if (changed.from_s > duration_s - SHORTEST_S) changed.from_s = 0;
  if (changed.to_s < changed.from_s + SHORTEST_S) changed.to_s = duration_s;
  return changed;
}
