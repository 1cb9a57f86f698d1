import assert from "node:assert/strict";
import { test } from "node:test";

import { addressOf, isFiltered, NO_FILTER, rowsInSight, withChanged, withNewest, withOlder } from "../src/list.ts";

const task = (number: number, fields = {}): any => ({
  task_uuid: `id-${String(number).padStart(3, "0")}`,
  submitted_at: number,
  state: "queued",
  ...fields,
});
const tasks = (...numbers: number[]) => numbers.map((number) => task(number));
const numbers = (loaded: { rows: any[] }) => loaded.rows.map((each) => each.submitted_at);

test("a newer page takes the place of what it covers, and what is gone from it is gone", () => {
  const known = { rows: tasks(9, 8, 7, 6, 5, 4), next: "older than 4" };
  const page = { rows: [task(10), task(9, { state: "failed" }), task(7)], next: "older than 7" };
  const merged = withNewest(known, page);
  assert.deepEqual(numbers(merged), [10, 9, 7, 6, 5, 4]);
  assert.equal(merged.rows[1].state, "failed");
  assert.equal(merged.next, "older than 4");
});

test("a page that does not meet the list begins it anew, since tasks between the two may be unknown", () => {
  const known = { rows: tasks(3, 2, 1) };
  const page = { rows: tasks(9, 8, 7), next: "older than 7" };
  assert.deepEqual(withNewest(known, page), page);
  assert.deepEqual(withNewest(undefined, page), page);
});

test("a page that nothing follows is the whole list", () => {
  assert.deepEqual(withNewest({ rows: tasks(3, 2, 1), next: "x" }, { rows: [] }), { rows: [] });
});

test("tasks of one moment are told apart by their ids, and none is listed twice", () => {
  const burst = (...ids: number[]) => ids.map((id) => task(id, { submitted_at: 5 }));
  const known = withOlder({ rows: burst(9, 8), next: "a" }, { rows: burst(8, 7), next: "b" });
  assert.deepEqual(known.rows.map((each) => each.task_uuid), ["id-009", "id-008", "id-007"]);
  const merged = withNewest(known, { rows: burst(10, 9), next: "c" });
  assert.deepEqual(merged.rows.map((each) => each.task_uuid), ["id-010", "id-009", "id-008", "id-007"]);
});

test("a changed task keeps its place", () => {
  const changed = withChanged({ rows: tasks(3, 2, 1) }, [task(2, { state: "failed" })]);
  assert.deepEqual(changed.rows.map((each) => each.state), ["queued", "failed", "queued"]);
});

test("rows are drawn where they are seen, whatever the place and the length of the list", () => {
  for (const count of [0, 1, 7, 100, 10_000])
    for (const top_px of [-500, 0, 71, 72, 5000, 72 * count, 1e7]) {
      const { first, end } = rowsInSight(top_px, 900, 72, count);
      assert.ok(first >= 0 && first <= end && end <= count && end - first < 60, `${count} ${top_px}`);
      for (let y = Math.max(0, top_px); y < Math.min(top_px + 900, 72 * count); y += 72) {
        const row = Math.floor(y / 72);
        assert.ok(first <= row && row < end, `row ${row} of ${count} at ${top_px}`);
      }
    }
});

test("a filter becomes the address of a page: whole days of the browser's time zone", () => {
  assert.equal(addressOf(NO_FILTER, 30), "/tasks?limit=30");
  assert.equal(isFiltered({ ...NO_FILTER, search: "  " }), false);
  const address = addressOf({ search: " a&b ", state: "failed", from: "2026-03-29", to: "2026-03-29" }, 30);
  const fields = new URL(address, "http://x").searchParams;
  assert.deepEqual([fields.get("search"), fields.get("state")], ["a&b", "failed"]);
  // The clocks of Europe/Berlin go forward on this day.
  assert.equal(Number(fields.get("submitted_before")) - Number(fields.get("submitted_since")), 23 * 3600);
});
