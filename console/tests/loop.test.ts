import assert from "node:assert/strict";
import { test } from "node:test";

import { changedLoop } from "../src/sound/loop.ts";

const SONG_S = 20;
const whole = { isOn: false, from_s: 0, to_s: SONG_S };

test("a loop from the song's end begins at its beginning, and one to its beginning ends at the end", () => {
  for (const from_s of [20, 19.99, 19.95])
    assert.deepEqual(changedLoop(whole, { isOn: true, from_s }, SONG_S), { isOn: true, from_s: 0, to_s: 20 });
  assert.deepEqual(changedLoop(whole, { to_s: 0 }, SONG_S), whole);
});

test("whatever is chosen, a loop has a length within the song", () => {
  const places = [0, 0.01, 5, 5.05, 10, 19.85, 19.99, 20];
  for (const from_s of places)
    for (const to_s of places) {
      const loop = changedLoop(changedLoop(whole, { from_s }, SONG_S), { to_s }, SONG_S);
      assert.ok(0 <= loop.from_s && loop.to_s - loop.from_s >= 0.099 && loop.to_s <= SONG_S, `${from_s} ${to_s}`);
    }
  assert.deepEqual(changedLoop(whole, { from_s: 2, to_s: 4 }, SONG_S), { isOn: false, from_s: 2, to_s: 4 });
});
