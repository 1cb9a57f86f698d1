import assert from "node:assert/strict";
import { test } from "node:test";

import { ElementEngine } from "../src/sound/element_engine.ts";

const [NETWORK, DECODE, UNSUPPORTED] = [2, 3, 4];
const OFF = { isOn: false, from_s: 0, to_s: 300 };

/** A media element whose data come and break off when the test says so. */
class FakeAudio extends EventTarget {
  static made: FakeAudio[] = [];
  readyState = 0;
  duration = Number.NaN;
  paused = true;
  seeking = false;
  ended = false;
  volume = 1;
  playbackRate = 1;
  preload = "";
  crossOrigin?: string;
  error?: { code: number };
  addresses: string[] = [];
  /** Of a store that serves no parts of a file. */
  isFixed = false;
  private at_s = 0;
  // Where play is to begin, as elements without data keep it.
  private begin_s = 0;

  constructor() {
    super();
    FakeAudio.made.push(this);
  }

  get currentTime() { return this.begin_s || this.at_s; }
  set currentTime(s: number) { this.readyState ? (this.at_s = this.isFixed ? 0 : s) : (this.begin_s = s); }
  get seekable() { return { length: 1, start: () => 0, end: () => (this.isFixed ? 0 : this.duration) }; }
  get src() { return this.addresses.at(-1)!; }
  set src(url: string) {
    this.addresses.push(url);
    Object.assign(this, { readyState: 0, at_s: 0, begin_s: 0, duration: Number.NaN, error: undefined, paused: true });
  }

  async play() { this.paused = false; }
  pause() { this.paused = true; }
  load() {}
  removeAttribute() {}

  come(): void {
    Object.assign(this, { readyState: 4, duration: 300, at_s: this.begin_s || this.at_s, begin_s: 0 });
    for (const name of ["loadedmetadata", "canplay"]) this.dispatchEvent(new Event(name));
  }

  playOn(s: number): void { this.at_s += s; }

  fail(code: number): void {
    this.error = { code };
    this.dispatchEvent(new Event("error"));
  }
}

class FakeContext {
  currentTime = 0;
  createGain = () => ({ gain: { setTargetAtTime() {} }, connect: (to: unknown) => to });
  createMediaElementSource = () => ({ connect: (to: unknown) => to });
  async resume() {}
  async close() {}
}

Object.assign(globalThis, {
  Audio: FakeAudio,
  AudioContext: FakeContext,
  HTMLMediaElement: { HAVE_NOTHING: 0, HAVE_FUTURE_DATA: 3 },
  MediaError: { MEDIA_ERR_DECODE: DECODE },
});

const fresh = async () => "new.mp3";
const away = () => Promise.reject(new Error("no answer"));
const gone = async () => undefined;

const settled = () => new Promise<void>((resolve) => setTimeout(resolve));

function made(renew: () => Promise<string | undefined>) {
  FakeAudio.made = [];
  const pauses: number[] = [];
  const pause = async (ms: number, signal: AbortSignal) => {
    signal.throwIfAborted();
    pauses.push(ms);
  };
  let changes = 0;
  const links = ["a.mp3", "b.mp3"].map((url) => ({ url, renew }));
  const engine = new ElementEngine(links, () => changes++, () => {}, pause);
  const broken = () => [engine.isBroken(0), engine.isBroken(1)];
  return { engine, pauses, broken, changes: () => changes, elements: () => FakeAudio.made.slice(-2) };
}

/** Two stems that play at 60 s. */
function playing(renew: () => Promise<string | undefined>) {
  const all = made(renew);
  all.elements().forEach((one) => one.come());
  all.engine.seek(60);
  all.engine.play();
  all.engine.check(OFF);
  assert.deepEqual([all.engine.isWaiting, all.engine.position_s], [false, 60]);
  return all;
}

for (const code of [NETWORK, UNSUPPORTED])
  for (const places of [[0], [1], [0, 1]])
    test(`stems ${places} whose data break off (code ${code}) are held, and play on where they were`, async () => {
      const { engine, broken, elements } = playing(fresh);
      places.forEach((place) => elements()[place]!.fail(code));
      engine.check(OFF);
      assert.deepEqual([broken(), engine.isWaiting, engine.position_s], [[false, false], true, 60]);
      assert.deepEqual(elements().map((one) => one.paused), [true, true]);
      await settled();
      engine.check(OFF);
      assert.ok(engine.isWaiting, "nothing has come yet");
      const addresses = elements().map((one) => one.src);
      assert.deepEqual(addresses, ["a.mp3", "b.mp3"].map((url, place) => (places.includes(place) ? "new.mp3" : url)));
      places.forEach((place) => elements()[place]!.come());
      engine.check(OFF);
      assert.deepEqual([broken(), engine.isWaiting], [[false, false], false]);
      for (const one of elements()) assert.deepEqual([one.paused, one.currentTime, one.crossOrigin], [false, 60, "anonymous"]);
    });

test("while the network is away it is asked ever more seldom, and the song goes on where its user has moved", async () => {
  const { engine, pauses, broken, elements } = playing(away);
  const [first] = elements();
  first!.fail(NETWORK);
  for (let tries = 1; tries < 8; tries++) {
    await settled();
    first!.fail(UNSUPPORTED);
  }
  assert.deepEqual(pauses.slice(0, 7), [500, 1000, 2000, 4000, 8000, 8000, 8000]);
  assert.deepEqual(broken(), [false, false]);
  engine.seek(100);
  await settled();
  assert.equal(engine.position_s, 100);
  first!.come();
  engine.check(OFF);
  engine.check(OFF);
  assert.deepEqual([engine.isWaiting, ...elements().map((one) => one.currentTime)], [false, 100, 100]);
  first!.fail(NETWORK);
  assert.equal(pauses.at(-1), 500);
});

test("a stem that cannot be decoded, or is gone, is broken for good; the other one plays", async () => {
  for (const [renew, code] of [[fresh, DECODE], [gone, NETWORK]] as const) {
    const { engine, broken, changes, elements } = playing(renew);
    elements()[0]!.fail(code);
    await settled();
    assert.deepEqual([broken(), changes()], [[true, false], 1]);
    engine.check(OFF);
    assert.deepEqual([engine.isWaiting, engine.position_s], [false, 60]);
  }
});

test("a stem whose data come under no new link is broken, and the other one plays", async () => {
  for (const code of [NETWORK, UNSUPPORTED])
    for (const hasMetadata of [true, false]) {
      let asked = 0;
      const { engine, broken, elements } = playing(async () => `new${++asked}.mp3`);
      const second = elements()[1]!;
      for (let fails = 0; fails < 20 && !broken()[1]; fails++) {
        second.fail(code);
        await settled();
        // Of a file that was cut short, the beginning still comes.
        if (hasMetadata) second.dispatchEvent(new Event("loadedmetadata"));
      }
      engine.check(OFF);
      assert.deepEqual([asked, broken(), engine.isWaiting, engine.position_s], [5, [false, true], false, 60]);
    }
});

test("new links that work, and answers that never came, count for nothing", async () => {
  let renew: () => Promise<string | undefined> = fresh;
  const { broken, elements } = playing(() => renew());
  const [first, second] = elements();
  for (let times = 0; times < 20; times++) {
    first!.fail(NETWORK);
    renew = times % 2 ? fresh : away;
    second!.fail(NETWORK);
    await settled();
    if (times % 2) elements().forEach((one) => one.come());
  }
  assert.deepEqual(broken(), [false, false]);
});

test("stems that cannot be moved play on though they are apart, and are brought into step by their speed", () => {
  const { engine, elements } = made(fresh);
  const [first, second] = elements();
  for (const one of elements()) {
    one.isFixed = true;
    one.come();
  }
  engine.play();
  for (const begun_s of [0.01, 1]) {
    first!.playOn(begun_s);
    second!.readyState = 1;
    engine.check(OFF);
    assert.deepEqual([first!.paused, second!.paused], [true, true]);
    second!.readyState = 4;
    engine.check(OFF);
    assert.deepEqual([engine.isWaiting, first!.paused, second!.paused], [false, false, false]);
  }
  engine.check(OFF);
  assert.deepEqual([engine.position_s, second!.currentTime, second!.playbackRate > 1], [1.01, 0, true]);
});

test("while nobody plays, the API is asked for no link", async () => {
  let asked = 0;
  const { engine, broken, elements } = playing(async () => `new${++asked}.mp3`);
  const [first, second] = elements();
  second!.fail(NETWORK);
  engine.pause();
  for (let times = 0; times < 3; times++) await settled();
  engine.seek(100);
  await settled();
  assert.deepEqual([asked, broken()], [0, [false, false]]);
  engine.play();
  await settled();
  assert.deepEqual([asked, second!.src, second!.currentTime], [1, "new1.mp3", 100]);
  elements().forEach((one) => one.come());
  engine.check(OFF);
  engine.check(OFF);
  assert.deepEqual([engine.isWaiting, first!.paused, second!.paused], [false, false, false]);
});

test("a bucket that refuses pages is asked without that, and only then for another link", async () => {
  const { engine, broken, elements } = made(fresh);
  engine.play();
  elements()[0]!.fail(UNSUPPORTED);
  assert.equal(FakeAudio.made.length, 4);
  assert.deepEqual(elements().map((one) => one.crossOrigin), [undefined, undefined]);
  elements()[1]!.come();
  elements()[0]!.fail(UNSUPPORTED);
  await settled();
  assert.deepEqual([broken(), elements()[0]!.src], [[false, false], "new.mp3"]);
});

test("before the first data the network may be away for long", async () => {
  let renew: () => Promise<string | undefined> = away;
  const { engine, broken, elements } = made(() => renew());
  engine.play();
  elements().forEach((one) => one.fail(UNSUPPORTED));
  for (let tries = 0; tries < 5; tries++) {
    elements().forEach((one) => one.fail(UNSUPPORTED));
    await settled();
  }
  renew = fresh;
  elements().forEach((one) => one.fail(UNSUPPORTED));
  await settled();
  elements().forEach((one) => one.come());
  assert.deepEqual(broken(), [false, false]);
});

test("a player that is closed asks for nothing more", async () => {
  const { engine, elements } = playing(fresh);
  const [first] = elements();
  first!.fail(NETWORK);
  engine.close();
  await settled();
  assert.deepEqual(first!.addresses, ["a.mp3"]);
});
