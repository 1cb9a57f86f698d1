import assert from "node:assert/strict";
import { test } from "node:test";

import * as api from "../src/api.ts";
import { mayPass, untilTaken, type Wait } from "../src/tries.ts";

const never = new AbortController().signal;
const file = new File(["song"], "song.mp3");
const page = "<html>Please sign in</html>";

interface Given { status?: number; text?: string; headers?: Record<string, string>; isLost?: boolean }

/** Answers each file that is sent. */
function answering({ status = 200, text = "", headers = {}, isLost = false }: Given): void {
  class Request {
    upload = {};
    status = status;
    responseText = text;
    onload?: () => void;
    onerror?: () => void;
    open() {}
    setRequestHeader() {}
    abort() {}
    getResponseHeader = (name: string) => headers[name] ?? null;
    // As a browser: nobody hears what its events throw.
    send = () => void setTimeout(() => (isLost ? this.onerror?.() : this.onload?.()));
  }
  Object.assign(globalThis, { XMLHttpRequest: Request, fetch: async () => new Response(text, { status, headers }) });
}

const sendFile = () => api.submitFile(file, {}, "key", () => {}, never);
const sendLink = () => api.submitLink("https://example.com/a", {}, "key", never);
const ways = [sendFile, sendLink, () => api.session(), () => api.task("1"), () => api.signIn("a", "b")];

test("a success that is not the API's is no answer, whatever was asked", async () => {
  for (const text of [page, "", "null", "7", '"x"'])
    for (const send of ways) {
      answering({ text });
      await assert.rejects(send(), (error) => api.isUnanswered(error), `${text} ${send}`);
    }
  for (const send of [sendFile, sendLink, () => api.session()]) {
    answering({ text: '{"signIn": "https://proxy/"}' });
    await assert.rejects(send(), (error) => api.isUnanswered(error));
  }
  answering({ text: '{"task_uuid": "1", "user": null}' });
  assert.deepEqual([await sendFile(), await sendLink(), (await api.session()).user], ["1", "1", null]);
});

test("an error that is not the API's is told by its status", async () => {
  for (const text of [page, "null", "7", ""])
    for (const send of ways) {
      answering({ status: 418, text });
      await assert.rejects(send(), { status: 418, message: "HTTP 418" }, `${text} ${send}`);
    }
});

test("an answer without room says when to ask again, in seconds or as a date", async () => {
  const soon = new Date(Date.now() + 60_000).toUTCString();
  const read: (number | undefined)[] = [];
  for (const header of ["7", soon, "Mon, 01 Jan 2001 00:00:00 GMT", "soon", undefined])
    for (const send of [sendFile, sendLink]) {
      answering({ status: 429, text: '{"detail": "full"}', headers: header ? { "Retry-After": header } : {} });
      const error = await send().then(() => undefined, (problem) => problem as api.ProblemError);
      assert.equal(error?.message, "full");
      read.push(error.retryAfter_s && Math.ceil(error.retryAfter_s / 10));
    }
  assert.deepEqual(read, [1, 1, 6, 6, 0, 0, undefined, undefined, undefined, undefined]);
});

/** Sends with these outcomes, one after the other; the last one is success. Returns the waits. */
async function taken(outcomes: unknown[], isThere = true, bytes = 0) {
  const pauses: number[] = [];
  const told: (Wait | undefined)[] = [];
  const rest = [...outcomes];
  const send = async () => {
    if (rest.length) throw rest.shift();
  };
  const pause = async (ms: number) => void pauses.push(ms);
  const tell = (wait?: Wait) => told.push(wait);
  await untilTaken(send, { bytes, stop: never, tell, isThere: async () => isThere, pause });
  return { pauses, told };
}

const full = (retryAfter_s?: number) => new api.ProblemError(429, "Full.", { retryAfter_s });
const lost = new api.ProblemError(0, "");

test("a song for which there is no room waits as long as the API says, within bounds", async () => {
  const { pauses, told } = await taken([full(47), full(7), full(0), full(1e9), full()], true, 20e6);
  assert.deepEqual(pauses, [47_000, 30_000, 30_000, 3_600_000, 30_000]);
  assert.deepEqual(told.map((wait) => wait?.words), Array(5).fill(["Full", undefined]).flat());
  const soon_s = told[0]!.until_s! - Date.now() / 1000;
  assert.ok(45 < soon_s && soon_s <= 47);
});

test("without room a large song, or one for whose bytes there is none, waits for its user alone", async () => {
  const usedUp = new api.ProblemError(429, "Full.", { code: "too_many_uploaded_bytes", retryAfter_s: 60 });
  for (const [error, bytes] of [[full(7), 20e6 + 1], [full(), 1e9], [usedUp, 1], [usedUp, 1e9]] as const) {
    await assert.rejects(taken([error], true, bytes), (thrown) => thrown === error);
    assert.ok(mayPass(error));
  }
  const away = new api.ProblemError(503, "");
  assert.deepEqual((await taken([away], true, 1e9)).pauses, [3000]);
});

test("a song waits for an API that is away, and is given up where only the song has no answer", async () => {
  const away = [502, 503, 504, 0].map((status) => new api.ProblemError(status, ""));
  const { pauses, told } = await taken([...away, ...away, ...away], false);
  assert.deepEqual(pauses, Array(12).fill(3000));
  assert.deepEqual(told[0], { words: "" });
  await assert.rejects(taken([lost, full(), lost, full(), lost]), (error) => error === lost);
  for (const error of [new api.ProblemError(422, "no"), new Error("other")])
    await assert.rejects(taken([error]), (thrown) => thrown === error);
});

test("who stops a song that waits is obeyed at once", async () => {
  for (const error of [full(3000), lost]) {
    const stop = new AbortController();
    const tell = (wait?: Wait) => void (wait && setTimeout(() => stop.abort()));
    const way = { bytes: 0, stop: stop.signal, tell, isThere: async () => false };
    await assert.rejects(untilTaken(() => Promise.reject(error), way), { name: "AbortError" });
    await assert.rejects(untilTaken(async () => assert.fail(), way), { name: "AbortError" });
  }
});

test("who stops a song is obeyed at once also where no answer ever comes", async () => {
  const hangs = () => new Promise<never>(() => {});
  const ways = [[hangs, hangs], [() => Promise.reject(lost), hangs]] as const;
  for (const [send, isThere] of ways) {
    const stop = new AbortController();
    setTimeout(() => stop.abort());
    await assert.rejects(untilTaken(send, { bytes: 0, stop: stop.signal, tell() {}, isThere }), { name: "AbortError" });
  }
});

test("a song is sent again by a click only where that may help", () => {
  const again = (status: number) => mayPass(new api.ProblemError(status, ""));
  assert.deepEqual([0, 408, 429, 500, 503].map(again), Array(5).fill(true));
  assert.deepEqual([400, 403, 413, 422, 501].map(again), Array(5).fill(false));
});
