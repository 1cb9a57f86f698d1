import assert from "node:assert/strict";
import { test } from "node:test";

import { StemWindow } from "../src/sound/stem_window.ts";
import { Unplayable } from "../src/sound/stem_file.ts";
import { wavInfoOf, writeSamples } from "../src/sound/wav.ts";
import { firstMissing, partsAround, pieceAt, within } from "../src/sound/window.ts";

const held = (from: number, to: number) => ({ from, length: to - from });
const ticked = () => new Promise((resolve) => setTimeout(resolve));

test("what is missing of a part is told from pieces in any order that may overlap", () => {
  const pieces = [held(10, 20), held(0, 8), held(5, 12)];
  assert.equal(firstMissing(pieces, { from: 2, to: 20 }), undefined);
  assert.equal(firstMissing(pieces, { from: 2, to: 21 }), 20);
  assert.equal(firstMissing(pieces, { from: 30, to: 40 }), 30);
  assert.equal(firstMissing(pieces, { from: 40, to: 30 }), undefined);
  assert.equal(pieceAt(pieces, 6), pieces[2]);
  assert.deepEqual(within(pieces, [{ from: 0, to: 5 }, { from: 19, to: 30 }]), [pieces[0], pieces[1]]);
});

test("the window goes with the place of play, and to the loop's beginning", () => {
  const off = { isOn: false, from_s: 0, to_s: 100 };
  assert.deepEqual(partsAround(50, 100, off), { read: [{ from: 50, to: 60 }], keep: [{ from: 47, to: 50 }] });
  assert.deepEqual(partsAround(95, 100, off).read, [{ from: 95, to: 100 }]);
  const loop = { isOn: true, from_s: 10, to_s: 30 };
  assert.deepEqual(partsAround(20, 100, loop).read, [{ from: 20, to: 30 }, { from: 10, to: 15 }]);
  assert.deepEqual(partsAround(25, 100, loop).read[0], { from: 25, to: 31 });
  assert.deepEqual(partsAround(40, 100, loop).read[0], { from: 40, to: 50 });
});

/** A stem of 100 s at 10 Hz whose parts come when the test says so. */
function stem() {
  const asked: { at: number; length: number; signal: AbortSignal; come: () => void; fail: (why: Error) => void }[] = [];
  const fill = (channels: Float32Array[], at: number, signal: AbortSignal) =>
    new Promise<void>((resolve, reject) => {
      channels[0]!.fill(at);
      asked.push({ at, length: channels[0]!.length, signal, come: resolve, fail: reject });
    });
  const made = { buffers: 0, changes: 0 };
  const newBuffer = () => {
    made.buffers++;
    const samples = new Float32Array(30);
    return { length: 30, numberOfChannels: 1, getChannelData: () => samples } as unknown as AudioBuffer;
  };
  const window = new StemWindow({ rate_hz: 10, channels: 1, length: 1000, fill }, newBuffer, () => { made.changes++; });
  const come = async () => {
    asked.at(-1)!.come();
    await ticked();
  };
  return { window, asked, made, come };
}

test("a stem is read piece by piece as far as it is wanted, and what is behind is dropped", async () => {
  const { window, asked, come } = stem();
  window.want([{ from: 0, to: 7 }], []);
  for (let count = 1; count <= 3; count++) {
    assert.equal(asked.length, count, "one at a time");
    await come();
  }
  assert.deepEqual(asked.map(({ at, length }) => [at, length]), [[0, 15], [15, 30], [45, 30]]);
  assert.ok(window.has({ from: 0, to: 7.5 }) && !window.has({ from: 0, to: 7.6 }));
  window.want([{ from: 5, to: 7 }], [{ from: 2, to: 5 }]);
  assert.deepEqual(window.pieces.map(({ from }) => from), [15, 45]);
});

test("buffers are used again once nobody plays them", async () => {
  const { window, asked, made, come } = stem();
  window.want([{ from: 0, to: 1 }], []);
  await come();
  const [piece] = window.pieces;
  piece!.users += 1; // a node plays it
  for (let place_s = 2; place_s < 90; place_s += 3) {
    window.want([{ from: place_s, to: place_s + 1 }], []);
    await come();
  }
  assert.equal(made.buffers, 2);
  assert.ok(!window.pieces.some(({ audio }) => audio === piece!.audio), "what plays is not written over");
  window.letGo(piece!);
  window.want([{ from: 95, to: 99 }], []);
  assert.deepEqual([asked.at(-1)!.at, made.buffers], [950, 2]);
});

test("a short piece has silence behind it", async () => {
  const { window, come } = stem();
  window.want([{ from: 50, to: 51 }], []);
  await come();
  window.want([{ from: 51.5, to: 53 }], []);
  await come();
  window.want([{ from: 20, to: 21 }], []); // drops both, and takes the longer one's buffer
  await come();
  const [piece] = window.pieces;
  assert.equal(piece!.length, 15);
  assert.ok(piece!.audio.getChannelData(0).subarray(15).every((sample) => sample === 0));
});

test("what is no longer wanted is not waited for", async () => {
  const { window, asked, come } = stem();
  window.want([{ from: 0, to: 10 }], []);
  window.want([{ from: 96, to: 200 }], []);
  assert.ok(asked[0]!.signal.aborted);
  asked[0]!.fail(new Error("aborted"));
  assert.equal(asked[1]!.at, 960);
  await come();
  await come();
  assert.deepEqual(window.pieces.map(({ from }) => from), [960, 975]);
  assert.ok(window.has({ from: 96, to: 200 }), "the stem ends before the part does");
  assert.equal(asked.length, 3);
});

test("a stem that cannot be played breaks, and is waited for no more", async () => {
  const { window, asked, made } = stem();
  window.want([{ from: 0, to: 10 }], []);
  asked[0]!.fail(new Unplayable("no"));
  await ticked();
  assert.ok(window.isBroken && window.has({ from: 0, to: 10 }));
  assert.equal(made.changes, 1);
  window.want([{ from: 5, to: 10 }], []);
  assert.equal(asked.length, 1);
});

function wav(format: number, bits: number, data: Uint8Array, extra = false): Uint8Array<ArrayBuffer> {
  const size = extra ? 40 : 16;
  const file = new Uint8Array(12 + 8 + 4 + 8 + size + 8 + data.length);
  const view = new DataView(file.buffer);
  const name = (at: number, text: string) => file.set(new TextEncoder().encode(text), at);
  name(0, "RIFF"), name(8, "WAVEjunk"), view.setUint32(16, 3, true); // and a byte that makes it even
  name(24, "fmt "), view.setUint32(28, size, true);
  view.setUint16(32, extra ? 0xfffe : format, true), view.setUint16(34, 2, true), view.setUint32(36, 48_000, true);
  view.setUint16(46, bits, true);
  if (extra) view.setUint16(56, format, true);
  name(32 + size, "data"), view.setUint32(36 + size, 0xffffffff, true);
  file.set(data, 40 + size);
  return file;
}

test("samples of all kinds that a WAV may have are read", () => {
  const cases: [number, number, Uint8Array][] = [
    [1, 16, Uint8Array.from([0, 0x40, 0, 0x80])],
    [1, 24, Uint8Array.from([0, 0, 0x40, 0, 0, 0x80])],
    [1, 32, Uint8Array.from([0, 0, 0, 0x40, 0, 0, 0, 0x80])],
    [1, 8, Uint8Array.from([192, 0])],
    [3, 32, new Uint8Array(Float32Array.from([0.5, -1]).buffer)],
  ];
  for (const [format, bits, data] of cases)
    for (const extra of [false, true]) {
      const file = wav(format, bits, data, extra);
      const info = wavInfoOf(file, file.length)!;
      assert.deepEqual([info.rate_hz, info.channels, info.length], [48_000, 2, 1], `${bits} bits`);
      const channels = [new Float32Array(1), new Float32Array(1)];
      writeSamples(info, file.slice(info.start), channels);
      assert.deepEqual(channels.map((channel) => [...channel]), [[0.5], [-1]], `${bits} bits`);
    }
  assert.equal(wavInfoOf(wav(2, 4, new Uint8Array(2)), 60), undefined);
  assert.equal(wavInfoOf(new TextEncoder().encode("ID3 and more of an mp3"), 60), undefined);
});
