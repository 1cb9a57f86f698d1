import assert from "node:assert/strict";
import { test } from "node:test";

import { keepFollowing } from "../src/following.ts";

const page: any = Object.assign(new EventTarget(), { hidden: false });
(globalThis as any).document = page;
const settled = () => new Promise((resolve) => setImmediate(resolve));

async function becomes(hidden: boolean) {
  page.hidden = hidden;
  page.dispatchEvent(new Event("visibilitychange"));
  await settled();
}

/** A stream that goes on until its signal aborts. */
const untilAborted = (signal: AbortSignal) =>
  new Promise<boolean>((resolve) => signal.addEventListener("abort", () => resolve(true)));

test("a page follows while it is seen, by one stream at a time", async (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  const signals: AbortSignal[] = [];
  const open = () => signals.filter((signal) => !signal.aborted).length;
  const end = keepFollowing((signal) => {
    signals.push(signal);
    return untilAborted(signal);
  }, 2000);
  assert.equal(open(), 1);
  await becomes(true);
  context.mock.timers.tick(100_000);
  assert.deepEqual([open(), signals.length], [0, 1]);
  await becomes(false);
  context.mock.timers.tick(100_000);
  await settled();
  assert.deepEqual([open(), signals.length], [1, 2]);
  end();
  await becomes(false);
  assert.deepEqual([open(), signals.length], [0, 2]);
});

test("what broke off is followed again after a pause, and what has ended is not", async (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  const answers = [true, true, false, true];
  keepFollowing(async () => answers.shift()!, 2000);
  for (let time = 0; time < 5; time++) {
    await settled();
    context.mock.timers.tick(2000);
  }
  await becomes(false);
  assert.deepEqual(answers, [true]);
});
