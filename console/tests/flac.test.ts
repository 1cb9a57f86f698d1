import assert from "node:assert/strict";
import { test } from "node:test";

import { FlacFile } from "../src/sound/flac.ts";
import { crc16, crc8, firstFrame, frameAt, infoOf } from "../src/sound/flac_frames.ts";
import { Unplayable } from "../src/sound/stem_file.ts";

const BLOCK = 192;
const RATE_HZ = 44_100;
const never = new AbortController().signal;

/** The number in the way of UTF-8. */
function coded(number: number): number[] {
  if (number < 0x80) return [number];
  if (number < 0x800) return [0xc0 | (number >> 6), 0x80 | (number & 63)];
  return [0xe0 | (number >> 12), 0x80 | ((number >> 6) & 63), 0x80 | (number & 63)];
}

/** A frame of a stereo song with these subframes. */
function frame(number: number, subframes: number[], length: number): number[] {
  const size = length === BLOCK ? [0x19, 0x18, ...coded(number)] : [0x79, 0x18, ...coded(number), (length - 1) >> 8, (length - 1) & 255];
  const head = [0xff, 0xf8, ...size];
  const data = [...head, crc8(Uint8Array.from(head)), ...subframes];
  const crc = crc16(Uint8Array.from(data));
  return [...data, crc >> 8, crc & 255];
}

/** The same sample all the time. */
const constant = (value: number) => [0, value >> 8, value & 255];
/** Samples as they are, of which some look like the header of the frame behind. */
function verbatim(number: number, length: number): number[] {
  const decoy = frame(number + 1, [], BLOCK).slice(0, -2);
  return [2, ...Array.from({ length: 2 * length }, (_, n) => (n < 40 && decoy[n % 20]) || n & 255)];
}

function streamInfo(length: number): number[] {
  const rate = [RATE_HZ >> 12, (RATE_HZ >> 4) & 255, ((RATE_HZ & 15) << 4) | 2, 0xf0];
  return [0, BLOCK, 0, BLOCK, 0, 0, 14, 0, 5, 0, ...rate, length >>> 24, (length >> 16) & 255, (length >> 8) & 255, length & 255, ...Array(16).fill(7)];
}

/** A song of which the first half has tiny frames, and the second one large ones. The last frame is short. */
function song(frames: number) {
  const [last, length] = [50, (frames - 1) * BLOCK + 50];
  const data = [0x66, 0x4c, 0x61, 0x43, 0x80, 0, 0, 34, ...streamInfo(length)];
  const starts: number[] = [];
  const left: number[] = [];
  for (let number = 0; number < frames; number++) {
    starts.push(data.length);
    const size = number === frames - 1 ? last : BLOCK;
    const one = number < frames / 2 ? constant(number) : verbatim(number, size);
    data.push(...frame(number, [...one, ...constant(number)], size));
    for (let n = 0; n < size; n++) left.push(one.length === 3 ? number : ((one[1 + 2 * n]! << 24) >> 16) | one[2 + 2 * n]!);
  }
  const bytes = Uint8Array.from(data);
  return { bytes, starts, left, length, info: infoOf(bytes)! };
}

test("the checksums are those of the catalogue of checksums", () => {
  const text = new TextEncoder().encode("123456789");
  assert.deepEqual([crc8(text), crc16(text)], [0xf4, 0xfee8]);
});

test("a file tells its rate, channels, bits, length, block and largest frame", () => {
  const { info, length } = song(3);
  assert.equal(info.frameBytes, 0x500);
  assert.deepEqual([info.rate_hz, info.channels, info.bits, info.length, info.block], [RATE_HZ, 2, 16, length, BLOCK]);
  assert.equal(infoOf(Uint8Array.from([0x52, 0x49, 0x46, 0x46])), undefined);
});

test("a frame is found by its header, and not where data look like one", () => {
  const { bytes, starts, info } = song(300);
  for (const [number, at] of starts.entries()) {
    assert.equal(frameAt(bytes, at, info)?.first, number * BLOCK);
    if (number + 1 < starts.length) assert.equal(firstFrame(bytes, at + 1, info, true)?.at, starts[number + 1], `after ${number}`);
  }
});

/** The song's file, of which each read is noted, and what it gives. */
function opened({ bytes, info, length }: ReturnType<typeof song>) {
  const reads: number[] = [];
  const read = async (from: number, to: number) => {
    assert.ok(to - from < 150_000, `${to - from} bytes are read at once`);
    reads.push(to - from);
    return bytes.slice(from, to);
  };
  const file = new FlacFile(info, 42, length, bytes.length, read);
  const filled = async (at: number, count: number) => {
    const channels = [new Float32Array(count), new Float32Array(count)];
    await file.fill(channels, at, never);
    return channels.map((samples) => Array.from(samples, (sample) => sample * 32768));
  };
  return { reads, filled };
}

test("any sample of a song is found in few reads, though its frames differ in size", async () => {
  const made = song(6000);
  for (const share of [0, 0.1, 0.49, 0.5, 0.51, 0.9, 0.999]) {
    const { filled, reads } = opened(made);
    const at = Math.floor(share * made.length);
    const [left, right] = await filled(at, 500);
    assert.deepEqual(left, made.left.slice(at, at + 500), String(share));
    assert.deepEqual([right![0], right![499]], [Math.floor(at / BLOCK), Math.floor((at + 499) / BLOCK)]);
    assert.ok(reads.length < 16, `${share}: ${reads.length} reads`);
  }
});

test("parts that follow each other are read without a search, to the song's last sample", async () => {
  const made = song(2000);
  const { filled, reads } = opened(made);
  const whole: number[] = [];
  while (whole.length < made.length) {
    const before = reads.length;
    whole.push(...(await filled(whole.length, Math.min(20_000, made.length - whole.length)))[0]!);
    assert.ok(reads.length - before <= 6, "more only where frames become larger");
  }
  assert.deepEqual(whole, made.left);
});

test("a file that is cut off or damaged is not played", async () => {
  const made = song(400);
  const end = made.bytes.length;
  const short = opened({ ...made, bytes: made.bytes.slice(0, end - 3000) });
  await assert.rejects(short.filled(made.length - 10, 10), Unplayable);
  const damaged = opened({ ...made, bytes: made.bytes.with(end - 1000, made.bytes[end - 1000]! ^ 1) });
  await assert.rejects(damaged.filled(made.length - 400, 400), Unplayable);
});
