import assert from "node:assert/strict";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";

import { readerOf } from "../src/sound/bytes.ts";
import { Unplayable } from "../src/sound/stem_file.ts";

const DATA = Uint8Array.from({ length: 100 }, (_, n) => n);

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

const part: Answer = (request, response) => {
  const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range!)!;
  response.writeHead(206).end(DATA.subarray(Number(from), Number(to) + 1));
};
const status = (code: number): Answer => (_, response) => response.writeHead(code).end("no");
const cutOff: Answer = (_, response) => {
  response.writeHead(206, { "Content-Length": 10 }).write("12");
  setTimeout(() => response.destroy(), 5);
};

/** Reads from a store that answers so, one after the other; the last answer is repeated. */
async function asked(answers: Answer[], renew: () => Promise<string | undefined>, signal = new AbortController().signal) {
  const paths: string[] = [];
  const server = createServer((request, response) => {
    paths.push(request.url!);
    answers[Math.min(paths.length, answers.length) - 1]!(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const host = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const pauses: number[] = [];
  const pause = async (ms: number) => {
    signal.throwIfAborted();
    pauses.push(ms);
  };
  const link = { url: `${host}/old`, renew: () => renew().then((path) => path && host + path) };
  try {
    const bytes = await readerOf(link, pause)(10, 20, signal);
    assert.deepEqual(bytes, DATA.slice(10, 20));
    return { paths, pauses };
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

const fresh = async () => "/new";
const away = () => Promise.reject(new Error("no answer"));

test("a part is read, and a link whose time is over is renewed once", async () => {
  assert.deepEqual(await asked([part], away), { paths: ["/old"], pauses: [] });
  for (const code of [400, 403, 410]) assert.deepEqual(await asked([status(code), part], fresh), { paths: ["/old", "/new"], pauses: [] });
  await assert.rejects(asked([status(403)], fresh), Unplayable);
});

test("a stem that is gone is not waited for", async () => {
  for (const code of [200, 404, 416]) await assert.rejects(asked([status(code)], fresh), Unplayable, String(code));
  await assert.rejects(asked([status(403)], async () => undefined), Unplayable);
});

test("what can pass is waited for, ever longer", async () => {
  const { pauses } = await asked([status(503), cutOff, status(429), cutOff, cutOff, cutOff, cutOff, part], away);
  assert.deepEqual(pauses, [500, 1000, 2000, 4000, 8000, 8000, 8000]);
});

test("while the API is away a refused link is waited for as well", async () => {
  let tries = 0;
  const renew = async () => (++tries < 3 ? away() : "/new");
  const { paths, pauses } = await asked([status(403), status(403), status(403), part], renew);
  assert.deepEqual([paths.at(-1), pauses.length], ["/new", 2]);
});

test("who no longer wants the part gets none", async () => {
  const stop = new AbortController();
  stop.abort();
  await assert.rejects(asked([part], fresh, stop.signal), { name: "AbortError" });
});
