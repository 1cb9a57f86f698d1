import assert from "node:assert/strict";
import { test } from "node:test";

import { askUntilFound, keepLooking } from "../src/looking.ts";

const page: any = Object.assign(new EventTarget(), { hidden: false });
(globalThis as any).document = page;
const settled = () => new Promise((resolve) => setImmediate(resolve));

test("a question that failed is asked again, and no more once there is an answer", async (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  const answers = [new Error("away"), new Error("away"), "found", "asked too often"];
  const [found, failures]: [string[], unknown[]] = [[], []];
  const ask = async () => {
    const answer = answers.shift()!;
    if (answer instanceof Error) throw answer;
    return answer as string;
  };
  askUntilFound(ask, (answer) => found.push(answer), (error) => failures.push(error) > 5);
  for (let time = 0; time < 10; time++) {
    await settled();
    context.mock.timers.tick(10_000);
  }
  page.dispatchEvent(new Event("visibilitychange"));
  await settled();
  assert.deepEqual([found, failures.length, answers.length], [["found"], 2, 1]);
});

test("a question that is refused for good is not asked again, nor one that nobody waits for", async (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  let asked = 0;
  const fail = async () => {
    asked += 1;
    throw new Error("no such task");
  };
  askUntilFound(fail, assert.fail, () => true);
  const end = askUntilFound(fail, assert.fail, () => assert.fail("nobody waits"));
  end();
  for (let time = 0; time < 3; time++) {
    await settled();
    context.mock.timers.tick(100_000);
  }
  assert.equal(asked, 2);
});

test("a look without an end goes on, and looks at once when the page is seen again", async (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  let looks = 0;
  const end = keepLooking(async () => { looks += 1; return 5000; }, 5000);
  await settled();
  page.dispatchEvent(new Event("visibilitychange"));
  await settled();
  assert.equal(looks, 2);
  context.mock.timers.tick(5000);
  await settled();
  assert.equal(looks, 3);
  end();
  context.mock.timers.tick(100_000);
  await settled();
  assert.equal(looks, 3);
});
