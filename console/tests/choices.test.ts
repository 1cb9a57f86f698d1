import assert from "node:assert/strict";
import { test } from "node:test";

import { bodyOf, changedOutput, fieldsOf, secondsOf, submissionOf, withoutEmpty } from "../src/choices.ts";

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
  assert.deepEqual(["", "x", "1:75", "-3", "1:2:3:4", "1e3"].map(secondsOf), Array(6).fill(undefined));
});

test("the form is filled with what an earlier task has chosen", () => {
  const choices = { preset: "best", stems: ["vocals"] };
  const task = { choices, label: "a", metadata: { order: 17 }, state: "failed" };
  assert.deepEqual(submissionOf(task), { ...choices, label: "a", metadata: { order: 17 } });
  assert.deepEqual(submissionOf({}), {});
});
