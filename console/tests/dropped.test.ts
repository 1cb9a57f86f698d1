import assert from "node:assert/strict";
import { appendFile, mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { openAsBlob } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { addressIn, checkReadable, hasFiles, mayHaveAddress, Unreadable } from "../src/dropped.ts";

const dropped = (data: Record<string, string>) => ({ types: Object.keys(data), getData: (type: string) => data[type] ?? "" });

test("a dropped link is an address, and so is a text that is one", () => {
  const url = "https://example.com/a%20song.mp3?x=1#y";
  const found = [
    { "text/uri-list": url },
    { "text/uri-list": `# a song\r\n${url}\r\nhttps://example.com/second`, "text/plain": "a song" },
    { "text/plain": ` ${url}\n` },
    { "text/plain": url, "text/html": "<a>" },
  ].map((data) => addressIn(dropped(data)));
  assert.deepEqual(found, Array(4).fill(url));
});

test("what is no address of a song is none", () => {
  const texts = ["", "a song", "javascript:alert(1)", "file:///a.mp3", "mailto:a@example.com", "https://", "https://a b"];
  for (const text of texts)
    for (const type of ["text/uri-list", "text/plain"]) assert.equal(addressIn(dropped({ [type]: text })), undefined, text);
});

test("files are told from what may be an address", () => {
  const kinds = [["Files"], ["text/uri-list", "text/plain"], ["text/plain"], ["text/html"], []].map((types) => ({ types }));
  assert.deepEqual(kinds.map(hasFiles), [true, false, false, false, false]);
  assert.deepEqual(kinds.map(mayHaveAddress), [false, true, true, false, false]);
});

test("a file that is empty, or was changed or moved meanwhile, is not sent", async () => {
  await checkReadable(new Blob(["song"]));
  await assert.rejects(checkReadable(new Blob([])), Unreadable);
  const folder = await mkdtemp(join(tmpdir(), "dropped-"));
  try {
    for (const harm of [(path: string) => appendFile(path, "more"), (path: string) => rename(path, `${path}.old`)]) {
      const path = join(folder, "song.mp3");
      await writeFile(path, "song");
      const file = await openAsBlob(path);
      await checkReadable(file);
      await harm(path);
      await assert.rejects(checkReadable(file), Unreadable);
    }
  } finally {
    await rm(folder, { recursive: true });
  }
});
