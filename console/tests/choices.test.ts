import assert from "node:assert/strict";
import { test } from "node:test";

import {
  afterRefusal, afterTyping, ALL_READ, bodyOf, changedOutput, fieldsOf, firstUnread, secondsOf, submissionOf, timeOf, withoutEmpty,
} from "../src/choices.ts";

test("what a format does not have is left out when the format changes", () => {
  const flac = changedOutput({ format: "wav", bit_depth: 24, tags: "keep" }, { format: "flac" });
  assert.deepEqual(flac, { format: "flac", bit_depth: 24, tags: "keep" });
  const mp3 = changedOutput(flac, { format: "mp3", bitrate_kbps: 192 });
  assert.deepEqual(mp3, { format: "mp3", bitrate_kbps: 192, tags: "keep" });
  assert.deepEqual(changedOutput({ format: "wav", bit_depth: 32 }, { format: "flac" }), { format: "flac" });
  assert.equal(changedOutput({ format: "mp3", bitrate_kbps: 192 }, { format: undefined }), undefined);
});

test("a submission without choices says nothing but the song", () => {
  assert.equal(bodyOf("https://x/a", { label: "", stems: [], output: undefined }), '{"audio":"https://x/a"}');
  assert.deepEqual(fieldsOf({}), []);
  assert.equal(withoutEmpty({ a: 0 })?.a, 0);
});

test("a form has texts as they are, and everything else as JSON", () => {
  const fields = fieldsOf({ label: "17", start_s: 1.5, stems: ["vocals"], output: { format: "mp3" } });
  const expected = { label: "17", start_s: "1.5", stems: '["vocals"]', output: '{"format":"mp3"}' };
  assert.deepEqual(Object.fromEntries(fields), expected);
});

test("a part of the song is read as seconds, or minutes and seconds", () => {
  const read = ["90", "1:30", "01:00:05", "12.5", "0:07,25", " 3 "].map(secondsOf);
  assert.deepEqual(read, [90, 90, 3605, 12.5, 7.25, 3]);
  const wide = ["１：３０", "1：30", "９０", "1 : 30", " 1: 0 :05 ", "１２．５", "0：07，25", "\u30001：30"].map(secondsOf);
  assert.deepEqual(wide, [90, 90, 90, 90, 3605, 12.5, 7.25, 90]);
  const wrong = ["", "x", "1:75", "-3", "1:2:3:4", "1e3", "90s", "1m30", "1:3 0", "1:", ":30", "9".repeat(400)];
  assert.deepEqual(wrong.map(secondsOf), Array(wrong.length).fill(undefined));
});

test("seconds are written so that they are read as the same", () => {
  const times = [0, 0.5, 59.999, 90, 3605.25, 12.007];
  assert.deepEqual(times.map(timeOf), ["0:00", "0:00.5", "0:59.999", "1:30", "1:00:05.25", "0:12.007"]);
  assert.deepEqual(times.map(timeOf).map(secondsOf), times);
});

test("a text that is no time is kept until it is mended or taken away", () => {
  const wrong = { ...afterTyping(afterTyping(ALL_READ, "duration_s", "90s"), "start_s", "0:75"), refusals: 1 };
  assert.deepEqual(wrong.texts, { start_s: "0:75", duration_s: "90s" });
  assert.equal(firstUnread(wrong), "start_s");
  const half = afterTyping(wrong, "start_s", "0:15");
  assert.deepEqual([half, firstUnread(half)], [{ texts: { duration_s: "90s" }, refusals: 1 }, "duration_s"]);
  for (const text of ["1:30", "", " "]) assert.equal(afterTyping(half, "duration_s", text), ALL_READ);
  assert.equal(firstUnread(ALL_READ), undefined);
});

test("a refusal asks for the first field that cannot be read, and typing asks for none", () => {
  const refused = afterRefusal(afterTyping(afterTyping(ALL_READ, "duration_s", "90s"), "start_s", "0:75"));
  assert.deepEqual([refused.refusals, refused.asked], [1, "start_s"]);
  for (const [field, text] of [["start_s", "1"], ["start_s", "x"], ["duration_s", "1"], ["duration_s", "x"]] as const) {
    const { refusals, asked } = afterTyping(refused, field, text);
    assert.deepEqual([refusals, asked], [1, "start_s"], `${field} ${text}`);
  }
  const again = afterRefusal(afterTyping(refused, "start_s", "1"));
  assert.deepEqual([again.refusals, again.asked], [2, "duration_s"]);
});

test("the form is filled with what an earlier task has chosen", () => {
  const choices = { preset: "best", stems: ["vocals"] };
  const task = { choices, label: "a", metadata: { order: 17 }, state: "failed" };
  assert.deepEqual(submissionOf(task), { ...choices, label: "a", metadata: { order: 17 } });
  assert.deepEqual(submissionOf({}), {});
});
