import assert from "node:assert/strict";
import { test } from "node:test";

import { isAfter } from "../src/admin/letter_order.ts";
import { withNewestPage, withOlderPage } from "../src/pages.ts";

const letter = (id: string, written_at: number): any => ({ id, written_at });
const letters = (from: number, to: number) =>
  Array.from({ length: from - to + 1 }, (_, place) => letter(`0/${from - place}`, from - place));
const ids = ({ rows }: { rows: any[] }) => rows.map((each) => each.id);

test("letters of one moment are ordered by partition and offset, as numbers", () => {
  const rows = [letter("0/9", 2), letter("10/1", 1), letter("9/10", 1), letter("9/9", 1)];
  rows.forEach((one, place) => rows.forEach((other, at) => assert.equal(isAfter(one, other), place > at)));
});

test("a page of older letters that comes twice is listed once", () => {
  const page = { rows: letters(70, 21), next: "older than 21" };
  const once = withOlderPage({ rows: letters(120, 71), next: "older than 71" }, page, isAfter);
  const twice = withOlderPage(once, page, isAfter);
  assert.deepEqual(ids(twice), ids({ rows: letters(120, 21) }));
});

test("a page whose letters are all left out takes none from the list", () => {
  const known = { rows: letters(20, 1), next: undefined };
  assert.equal(withNewestPage(known, { rows: [], next: "older than 21" }, isAfter), known);
  assert.deepEqual(ids(withNewestPage(known, { rows: [] }, isAfter)), []);
});

test("new letters push none out of the list", () => {
  const known = { rows: letters(120, 21), next: "older than 21" };
  const merged = withNewestPage(known, { rows: letters(125, 76), next: "older than 76" }, isAfter);
  assert.deepEqual(ids(merged), ids({ rows: letters(125, 21) }));
  assert.equal(merged.next, "older than 21");
});
