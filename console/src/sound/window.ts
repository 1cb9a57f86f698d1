/** Plans which parts of a stem are held in memory. All places and lengths are in samples. */

import type { Loop } from "./engine.ts";

/** From the first sample up to the one behind the last. */
export interface Part { from: number; to: number }

interface Held { from: number; length: number }

/** Returns the first sample of the part that no piece has; undefined where all of it is held. */
export function firstMissing(pieces: readonly Held[], part: Part): number | undefined {
  let at = part.from;
  while (at < part.to) {
    const piece = pieceAt(pieces, at);
    if (!piece) return at;
    at = piece.from + piece.length;
  }
  return undefined;
}

/** Returns the piece that has the sample, of several the one that goes on for longest. */
export function pieceAt<T extends Held>(pieces: readonly T[], at: number): T | undefined {
  let found: T | undefined;
  for (const piece of pieces)
    if (piece.from <= at && at < endOf(piece) && (!found || endOf(piece) > endOf(found))) found = piece;
  return found;
}

/** Returns the pieces that have something of one of the parts. */
export function within<T extends Held>(pieces: readonly T[], parts: readonly Part[]): T[] {
  return pieces.filter((piece) => parts.some((part) => piece.from < part.to && part.from < endOf(piece)));
}

const endOf = (piece: Held) => piece.from + piece.length;

// A song of 44.1 kHz with four stems takes 1.4 MB a second.
const AHEAD_S = 10;
const BEHIND_S = 3;
const LOOP_HEAD_S = 5;
// The jump to the loop's beginning is not made to the sample, and sound must not run out before.
const BEYOND_LOOP_S = 1;

/** Returns the parts of the song, in seconds, that are read, the most urgent first; the last one is only kept. */
export function partsAround(position_s: number, duration_s: number, loop: Loop) {
  const isInLoop = loop.isOn && position_s < loop.to_s;
  const end_s = isInLoop ? Math.min(loop.to_s + BEYOND_LOOP_S, duration_s) : duration_s;
  const ahead = { from: position_s, to: Math.min(position_s + AHEAD_S, end_s) };
  const behind = { from: Math.max(0, position_s - BEHIND_S), to: position_s };
  // Before the loop's end its beginning is there.
  const head = { from: loop.from_s, to: Math.min(loop.from_s + LOOP_HEAD_S, loop.to_s) };
  return { read: loop.isOn ? [ahead, head] : [ahead], keep: [behind] };
}
