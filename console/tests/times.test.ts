import assert from "node:assert/strict";
import { test } from "node:test";

import { periodsOf } from "../src/course_times.ts";
import { EventReader } from "../src/event_reader.ts";
import { clock, duration, momentAfter, songName } from "../src/format.ts";

test("a course tells how long each state lasted, and the one of now until now", () => {
  const times = { separating: 30, queued: 10, downloading: 20 };
  const now = periodsOf({ times }, false, 50);
  assert.deepEqual(now.map(({ state, from_s, to_s }) => [state, from_s, to_s]), [
    ["queued", 10, 20], ["downloading", 20, 30], ["separating", 30, 50],
  ]);
  assert.deepEqual(now.map(({ share }) => share), [0.25, 0.25, 0.5]);
  assert.deepEqual(now.map(({ isNow }) => isNow), [false, false, true]);
  const over = periodsOf({ times: { queued: 10, failed: 30 } }, true, 99);
  assert.deepEqual(over.map(({ share }) => share), [1, 0]);
  assert.deepEqual(periodsOf({ times: {} }, true, 0), []);
  assert.equal(periodsOf({ times: { queued: 10 } }, false, 5)[0]!.to_s, 10); // a clock that is behind the API's
});

test("events are read wherever the stream was cut", () => {
  const text = ': ping\r\n\r\nevent: status\r\ndata: {"a":\r\ndata: 1}\r\nid: 1\r\n\r\ndata: 2\n\n';
  for (const size of [1, 2, 7, text.length]) {
    const reader = new EventReader();
    const found: string[] = [];
    for (let at = 0; at < text.length; at += size) found.push(...reader.read(text.slice(at, at + size)));
    assert.deepEqual(found, ['{"a":\n1}', "2"], `pieces of ${size}`);
  }
});

test("numbers are written as people read them", () => {
  assert.deepEqual([clock(5), clock(65.9), clock(3605), clock(-1)], ["0:05", "1:05", "1:00:05", "0:00"]);
  assert.equal(duration(6.86, "en"), "6.9 secs");
  assert.equal(duration(600, "zh"), "10分钟");
  const noon_s = Date.UTC(2026, 5, 1, 10) / 1000;
  assert.equal(momentAfter(noon_s + 5, noon_s, "en"), "12:00:05");
  assert.match(momentAfter(noon_s + 86_400, noon_s, "en"), /2 Jun 2026/);
});

test("a song has the name by which people know it", () => {
  const named = (fields: object) => songName({ task_uuid: "id", ...fields } as any);
  assert.equal(named({ label: "l", file_name: "f", audio: "https://x/a" }), "l");
  assert.equal(named({ file_name: "f", audio: "upload:1" }), "f");
  assert.equal(named({ audio: "https://x/a%20song.mp3" }), "a song.mp3");
  assert.deepEqual([named({ audio: "https://x/%E0%A4%A" }), named({ audio: "upload:1" }), named({})], ["%E0%A4%A", "id", "id"]);
});
