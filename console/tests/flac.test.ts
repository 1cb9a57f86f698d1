import assert from "node:assert/strict";
import { test } from "node:test";

import { FlacFile } from "../src/sound/flac.ts";
import { crc8, crc16, fileOf, firstFrame, frameAt, infoOf } from "../src/sound/flac_frames.ts";
import { Unplayable } from "../src/sound/stem_file.ts";

const BLOCK = 4096;
const RATE_HZ = 44_100;
const never = new AbortController().signal;

/** The number in the way of UTF-8. */
function coded(number: number): number[] {
  if (number < 0x80) return [number];
  if (number < 0x800) return [0xc0 | (number >> 6), 0x80 | (number & 63)];
  return [0xe0 | (number >> 12), 0x80 | ((number >> 6) & 63), 0x80 | (number & 63)];
}

/** A frame of a stereo song whose samples are `filling` bytes, which need not make sense. */
function frame(number: number, filling: number[], last = 0): number[] {
  const size = last ? [0x79, 0x18, ...coded(number), (last - 1) >> 8, (last - 1) & 255] : [0xc9, 0x18, ...coded(number)];
  const head = [0xff, 0xf8, ...size];
  const data = [...head, crc8(Uint8Array.from(head)), ...filling];
  const crc = crc16(Uint8Array.from(data));
  return [...data, crc >> 8, crc & 255];
}

function streamInfo(length: number): number[] {
  const rate = [RATE_HZ >> 12, (RATE_HZ >> 4) & 255, ((RATE_HZ & 15) << 4) | 2, 0xf0];
  return [16, 0, 16, 0, 0, 0, 0, 0, 0, 0, ...rate, length >>> 24, (length >> 16) & 255, (length >> 8) & 255, length & 255, ...Array(16).fill(7)];
}

/** A song of which the first half has tiny frames and the second one large ones, full of what looks like headers. */
function song(frames: number, lastLength = 1000) {
  const length = (frames - 1) * BLOCK + lastLength;
  const data = [0x66, 0x4c, 0x61, 0x43, 0x80, 0, 0, 34, ...streamInfo(length)];
  const starts: number[] = [];
  for (let number = 0; number < frames; number++) {
    starts.push(data.length);
    const decoy = frame(number + 5, []).slice(0, -2);
    const filling = number < frames / 2 ? Array(6).fill(0) : Array.from({ length: 900 }, (_, n) => decoy[n % 40] ?? n & 255);
    data.push(...frame(number, filling, number === frames - 1 ? lastLength : 0));
  }
  return { bytes: Uint8Array.from(data), starts, length, info: infoOf(Uint8Array.from(data))! };
}

test("the checksums are those of the catalogue of checksums", () => {
  const text = new TextEncoder().encode("123456789");
  assert.deepEqual([crc8(text), crc16(text)], [0xf4, 0xfee8]);
});

test("a file tells its rate, channels, length and block", () => {
  const { info, length } = song(3);
  assert.deepEqual([info.rate_hz, info.channels, info.length, info.block], [RATE_HZ, 2, length, BLOCK]);
  assert.equal(infoOf(Uint8Array.from([0x52, 0x49, 0x46, 0x46])), undefined);
});

test("a frame is found by its header, and not where data look like one", () => {
  const { bytes, starts, info } = song(40);
  for (const [number, at] of starts.entries()) {
    assert.equal(frameAt(bytes, at, info)?.first, number * BLOCK);
    const next = number + 1;
    if (next < starts.length - 1) assert.equal(firstFrame(bytes, at + 1, info, true)?.at, starts[next], `after ${number}`);
  }
  assert.equal(frameAt(bytes, starts[3]! + 1, info), undefined);
});

test("cut frames become a file that says nothing of its length", () => {
  const { bytes, starts, info } = song(4);
  const file = fileOf(info, bytes.subarray(starts[1], starts[3]));
  const found = infoOf(file)!;
  assert.deepEqual([found.length, found.rate_hz, found.block], [0, RATE_HZ, BLOCK]);
  assert.equal(frameAt(file, 42, found)?.first, BLOCK);
});

/** A file of which each read is counted, and which is decoded to as many samples as its frames say. */
function opened({ bytes, info, length }: ReturnType<typeof song>) {
  const reads: number[] = [];
  const read = async (from: number, to: number) => {
    reads.push(to - from);
    return bytes.slice(from, to);
  };
  const decode = async (file: Uint8Array<ArrayBuffer>) => {
    let samples = 0;
    for (let at = file.indexOf(0xff, 42); at >= 0; at = file.indexOf(0xff, at + 1)) {
      const one = frameAt(file, at, info);
      if (!one || (samples && one.first !== decoded[0]! + samples)) continue;
      if (!samples) decoded[0] = one.first;
      samples += one.length;
    }
    return { length: samples } as AudioBuffer;
  };
  const decoded: number[] = [];
  return { file: new FlacFile(info, 42, length, bytes.length, read, decode), reads, decoded };
}

test("any sample of a song is found in few reads, though its frames differ in size", async () => {
  const made = song(2000);
  for (const share of [0, 0.1, 0.49, 0.5, 0.51, 0.9, 0.9999]) {
    const { file, reads, decoded } = opened(made);
    const at = Math.floor(share * made.length);
    const piece = await file.piece(at, 5, never);
    assert.equal(decoded[0], piece.from);
    assert.ok(piece.from <= at && at - piece.from <= RATE_HZ + BLOCK, `${share}: ${piece.from} for ${at}`);
    assert.ok(piece.from + piece.length >= Math.min(at + 2.5 * RATE_HZ, made.length), `${share}: ${piece.length}`);
    assert.ok(piece.length < 8 * RATE_HZ, "no more than was asked for is decoded");
    assert.ok(reads.length < 12, `${share}: ${reads.length} reads`);
  }
});

test("pieces follow each other to the song's last sample without a search", async () => {
  const made = song(400);
  const { file, reads } = opened(made);
  let at = 0;
  while (at < made.length) {
    const before = reads.length;
    const piece = await file.piece(at, 2, never);
    assert.equal(piece.from, at);
    assert.ok(reads.length - before <= 6);
    at += piece.length;
  }
  assert.equal(at, made.length);
});

test("a file that is cut off, or is decoded in part, is not played", async () => {
  const made = song(400);
  const short = opened({ ...made, bytes: made.bytes.slice(0, made.bytes.length - 3000) });
  await assert.rejects(short.file.piece(made.length - 10, 2, never), Unplayable);
  const { info, bytes, length } = made;
  const part = new FlacFile(info, 42, length, bytes.length, async (from, to) => bytes.slice(from, to), async () => ({ length: 5 }) as AudioBuffer);
  await assert.rejects(part.piece(0, 2, never), Unplayable);
});
