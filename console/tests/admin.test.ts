import assert from "node:assert/strict";
import { test } from "node:test";

import { scaleOf, seriesOf } from "../src/admin/plot_data.ts";

test("a scale reaches its highest bar, with few lines at whole numbers", () => {
  for (const most of [0, 1, 3, 4, 5, 17, 40, 42, 99, 1234, 1e6]) {
    const [top, step] = scaleOf(most);
    assert.ok(top >= most && top < most + step + 1, `${most}: ${top}`);
    assert.ok(Number.isInteger(step) && top % step === 0, `${most}: ${step}`);
    assert.ok(top / step <= 5, `${most}: ${top / step} lines`);
  }
});

test("the most frequent codes have a series each, and no failure is left out", () => {
  const names = ["a", "b", "c", "d", "e", "f", "g", "h"];
  const codes = names.map((name) => ({ error_code: name, count: 1, last_at: 0, last_task_uuid: "" }));
  const hours = [{ since: 0, codes: { a: 2, g: 1, h: 3 } }, { since: 3600, codes: { b: 1 } }];
  const series = seriesOf({ codes, hours }, "others");
  assert.deepEqual(series.map((one) => one.name), ["a", "b", "c", "d", "e", "f", "others"]);
  assert.deepEqual(series.map((one) => one.counts), [[2, 0], [0, 1], [0, 0], [0, 0], [0, 0], [0, 0], [4, 0]]);
  assert.equal(seriesOf({ codes: codes.slice(0, 2), hours: [] }, "others").length, 2);
});
