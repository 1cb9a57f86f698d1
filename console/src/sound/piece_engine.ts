/** Plays decoded pieces of stems on one clock, so that stems are in step to the sample. */
import type { Changed, Engine, Loop } from "./engine.ts";
import type { StemFile } from "./stem_file.ts";
import { type Piece, PIECE_S, StemWindow } from "./stem_window.ts";
import { partsAround, pieceAt } from "./window.ts";

// How much must be there before sound begins, and more where it has run out, so that it does not stutter.
const START_S = 0.5;
const START_AGAIN_S = 3;
// Sound is scheduled so far ahead. A browser calls pages that are out of sight once a second.
const SCHEDULE_S = 3;
const LEAD_S = 0.1;
const FADE_S = 0.005;
const SLEEP_MS = 500;

interface Stem {
  window: StemWindow;
  level: number;
  gain?: GainNode;
  /** Of the present run. */
  fade?: GainNode;
  nodes: AudioBufferSourceNode[];
  /** The first sample that is not scheduled. */
  next: number;
  /** Song time less clock time of what was scheduled last. */
  offset_s: number;
}

export class PieceEngine implements Engine {
  /** There is none before the first play, because browsers allow no sound until the user does something. */
  private context?: AudioContext;
  private stems: Stem[];
  private isPlaying = false;
  /** Whether the clock moves the position. */
  private isRunning = false;
  // At time `began_s` of the clock the song is at `from_s`; it stays there while nothing runs.
  private began_s = 0;
  private from_s = 0;
  private needed_s = START_S;
  private loop: Loop = { isOn: false, from_s: 0, to_s: 0 };

  constructor(files: StemFile[], private duration_s: number, private changed: Changed) {
    this.stems = files.map((file) => {
      const window = new StemWindow(file, () => bufferFor(file), () => this.arrived());
      return { window, level: 1, nodes: [], next: 0, offset_s: 0 };
    });
  }

  get position_s(): number {
    const ran_s = this.isRunning ? Math.max(0, this.context!.currentTime - this.began_s) : 0;
    return Math.min(this.from_s + ran_s, this.duration_s);
  }

  get isWaiting(): boolean {
    return this.isPlaying && !this.isRunning;
  }

  get spread_s(): number {
    const offsets = this.sounding.map((stem) => stem.offset_s);
    return offsets.length ? Math.max(...offsets) - Math.min(...offsets) : 0;
  }

  get heardSpread_s(): number {
    return this.spread_s;
  }

  isBroken(stem: number): boolean {
    return this.stems[stem]!.window.isBroken;
  }

  gainOf(stem: number): GainNode | undefined {
    return this.stems[stem]!.gain;
  }

  play(): void {
    this.isPlaying = true;
    this.context ??= this.connected();
    void this.context.resume();
    this.check(this.loop);
  }

  pause(): void {
    this.isPlaying = false;
    this.halt();
    this.look();
    // A context that runs keeps loudspeakers and processor awake.
    setTimeout(() => {
      if (!this.isPlaying && this.context?.state === "running") void this.context.suspend();
    }, SLEEP_MS);
  }

  seek(position_s: number): void {
    this.halt();
    this.needed_s = START_S;
    this.from_s = position_s;
    this.check(this.loop);
  }

  setLevel(stem: number, level: number): void {
    const one = this.stems[stem]!;
    one.level = level;
    // A short ramp, because a jump of the level clicks.
    one.gain?.gain.setTargetAtTime(level, this.context!.currentTime, 2 * FADE_S);
  }

  check(loop: Loop): void {
    this.loop = loop;
    this.look();
    if (!this.isPlaying) return;
    if (this.isRunning) this.goOn();
    else if (this.hasEnough()) this.start();
  }

  close(): void {
    this.halt();
    for (const { window } of this.stems) window.close();
    void this.context?.close();
  }

  private connected(): AudioContext {
    // At the stems' own rate a piece needs no conversion, whose edges would be heard.
    const context = new AudioContext({ sampleRate: this.stems[0]!.window.file.rate_hz });
    for (const stem of this.stems) {
      stem.gain = new GainNode(context, { gain: stem.level });
      stem.gain.connect(context.destination);
    }
    return context;
  }

  private get sounding(): Stem[] {
    return this.stems.filter((stem) => this.isRunning && !stem.window.isBroken && stem.nodes.length > 0);
  }

  private look(): void {
    // Who only opens the page needs no stems.
    if (!this.context) return;
    const { read, keep } = partsAround(this.position_s, this.duration_s, this.loop);
    for (const { window } of this.stems) window.want(read, keep);
  }

  private arrived(): void {
    this.check(this.loop);
    this.changed();
  }

  private hasEnough(): boolean {
    const { from, to } = partsAround(this.position_s, this.duration_s, this.loop).read[0]!;
    const part = { from, to: Math.min(from + this.needed_s, to) };
    return this.stems.every(({ window }) => window.has(part));
  }

  private start(): void {
    const [{ sampleRate, currentTime }, asked_ms] = [this.context!, performance.now()];
    // Whole samples, so that no sample has to be computed from its neighbours.
    this.began_s = Math.ceil((currentTime + LEAD_S) * sampleRate) / sampleRate;
    this.from_s = Math.round(this.from_s * sampleRate) / sampleRate;
    this.isRunning = true;
    for (const stem of this.stems) {
      stem.fade = new GainNode(this.context!, { gain: 0 });
      stem.fade.gain.setValueAtTime(0, this.began_s);
      stem.fade.gain.linearRampToValueAtTime(1, this.began_s + FADE_S);
      stem.fade.connect(stem.gain!);
      stem.next = Math.round(this.from_s * stem.window.file.rate_hz);
      this.schedule(stem);
    }
    const { from_s } = this;
    // A page that was kept from its work meanwhile has scheduled too late, and tries again.
    if (performance.now() - asked_ms > 1000 * (LEAD_S / 2)) {
      this.halt();
      this.from_s = from_s;
    }
    this.changed();
  }

  /** Stops the sound where it is. */
  private halt(): void {
    this.from_s = this.position_s;
    this.isRunning = false;
    const now_s = this.context?.currentTime ?? 0;
    for (const stem of this.stems) {
      stem.fade?.gain.cancelScheduledValues(now_s);
      stem.fade?.gain.setTargetAtTime(0, now_s, FADE_S);
      for (const node of stem.nodes) node.stop(now_s + 5 * FADE_S);
      stem.nodes = [];
    }
  }

  private goOn(): void {
    const whole = this.stems.filter(({ window, next }) => !window.isBroken && next < window.file.length);
    const until_s = Math.min(...whole.map(({ window, next }) => next / window.file.rate_hz));
    // What is scheduled too late would be out of step.
    if (until_s < this.position_s + LEAD_S) {
      this.halt();
      this.needed_s = START_AGAIN_S;
      this.from_s = Math.min(this.from_s, until_s);
      return this.changed();
    }
    for (const stem of this.stems) this.schedule(stem);
  }

  private schedule(stem: Stem): void {
    const { pieces, file } = stem.window;
    const until = (this.position_s + SCHEDULE_S) * file.rate_hz;
    while (stem.next < until) {
      const piece = pieceAt(pieces, stem.next);
      if (!piece) return;
      const place_s = stem.next / file.rate_hz;
      const due_s = this.began_s + place_s - this.from_s;
      const node = new AudioBufferSourceNode(this.context!, { buffer: piece.audio });
      node.connect(stem.fade!);
      node.start(due_s, (stem.next - piece.from) / file.rate_hz);
      node.onended = () => this.forget(stem, node, piece);
      stem.nodes.push(node);
      piece.users += 1;
      stem.offset_s = place_s - due_s;
      stem.next = piece.from + piece.length;
    }
  }

  private forget(stem: Stem, node: AudioBufferSourceNode, piece: Piece): void {
    stem.nodes = stem.nodes.filter((one) => one !== node);
    node.disconnect();
    node.buffer = null;
    stem.window.letGo(piece);
  }
}

function bufferFor({ channels, rate_hz }: StemFile): AudioBuffer {
  return new AudioBuffer({ numberOfChannels: channels, length: Math.round(PIECE_S * rate_hz), sampleRate: rate_hz });
}
