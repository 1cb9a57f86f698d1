/** Plays the stems of a song together: mute, solo, level, place and loop, whatever makes the sound. */
import { ElementEngine } from "./sound/element_engine";
import type { Engine, Loop } from "./sound/engine";
import { changedLoop } from "./sound/loop";
import { openPieces, type Stem } from "./sound/opening";
import { PieceEngine } from "./sound/piece_engine";

export type { Loop } from "./sound/engine";

export interface Track {
  name: string;
  /** 0 to 1. */
  level: number;
  isMuted: boolean;
  isSolo: boolean;
  isBroken: boolean;
}

export interface NamedStem extends Stem { name: string }

const CHECK_MS = 50;
// People see the position move so often.
const SHOW_MS = 250;
// A shorter wait, as after each seek, is not worth a word.
const LATE_MS = 1000;

export class Player {
  readonly tracks: Track[];
  readonly duration_s: number;
  readonly loop: Loop;
  isPlaying = false;
  private engine?: Engine;
  private timer = 0;
  private shown_ms = 0;
  /** When the song moved last, or was told to. */
  private moved_ms = 0;
  private closing = new AbortController();
  /** Until there is an engine. */
  private wanted_s = 0;

  /** `changed` is called after each change that people see. */
  constructor(stems: NamedStem[], private changed: () => void) {
    this.duration_s = Math.max(...stems.map((stem) => stem.duration_s));
    this.loop = { isOn: false, from_s: 0, to_s: this.duration_s };
    this.tracks = stems.map(({ name }) => ({ name, level: 1, isMuted: false, isSolo: false, isBroken: false }));
    void this.open(stems);
  }

  get position_s(): number {
    return this.engine?.position_s ?? this.wanted_s;
  }

  /** Whether the song can be played from now on. */
  get isReady(): boolean {
    return this.engine !== undefined;
  }

  /** Whether the song has stood still for a while, until its data have come. */
  get isLate(): boolean {
    return this.isPlaying && performance.now() - this.moved_ms > LATE_MS;
  }

  /** The largest difference between the places of two stems, in seconds. */
  get spread_s(): number {
    return this.engine?.spread_s ?? 0;
  }

  /** The same among the stems that sound. */
  get heardSpread_s(): number {
    return this.engine?.heardSpread_s ?? 0;
  }

  /** Where the track's sound passes; undefined where it does not pass Web Audio, or before the first play. */
  gainOf(track: Track): GainNode | undefined {
    return this.engine?.gainOf(this.tracks.indexOf(track));
  }

  /** Whether no stem can be played any more. */
  private get isSilent(): boolean {
    return this.tracks.every((track) => track.isBroken);
  }

  play(): void {
    if (this.isSilent) return;
    this.isPlaying = true;
    this.moved_ms = performance.now();
    if (this.position_s >= this.duration_s - 0.05) this.seek(0);
    clearInterval(this.timer);
    this.timer = setInterval(() => this.check(), CHECK_MS);
    // At once, because browsers allow it only while they handle what the user did.
    this.engine?.play();
    this.changed();
  }

  pause(): void {
    this.isPlaying = false;
    clearInterval(this.timer);
    this.engine?.pause();
    this.changed();
  }

  toggle(): void {
    if (this.isPlaying) this.pause();
    else this.play();
  }

  seek(position_s: number): void {
    this.wanted_s = Math.min(Math.max(0, position_s), this.duration_s);
    this.engine?.seek(this.wanted_s);
    this.changed();
  }

  set(track: Track, change: Partial<Pick<Track, "level" | "isMuted" | "isSolo">>): void {
    Object.assign(track, change);
    this.setLevels();
    this.changed();
  }

  setLoop(change: Partial<Loop>): void {
    Object.assign(this.loop, changedLoop(this.loop, change, this.duration_s));
    this.changed();
  }

  /** Whether the track is neither muted nor left out by another's solo. */
  isHeard(track: Track): boolean {
    return !track.isMuted && (track.isSolo || !this.tracks.some((other) => other.isSolo));
  }

  close(): void {
    clearInterval(this.timer);
    this.closing.abort();
    this.engine?.close();
  }

  private async open(stems: NamedStem[]): Promise<void> {
    const files = await openPieces(stems, this.closing.signal);
    if (this.closing.signal.aborted) return;
    const changed = () => this.seen();
    this.engine = files
      ? new PieceEngine(files, this.duration_s, changed)
      : new ElementEngine(stems, changed, () => this.ended());
    this.setLevels();
    this.engine.seek(this.wanted_s);
    if (this.isPlaying) this.engine.play();
    this.changed();
  }

  private seen(): void {
    this.tracks.forEach((track, place) => { track.isBroken = this.engine!.isBroken(place); });
    if (this.isPlaying && this.isSilent) return this.pause();
    this.changed();
  }

  private setLevels(): void {
    this.tracks.forEach((track, place) => this.engine?.setLevel(place, this.isHeard(track) ? track.level : 0));
  }

  private check(): void {
    if (this.position_s >= this.duration_s) return this.ended();
    if (this.loop.isOn && this.position_s >= this.loop.to_s) this.seek(this.loop.from_s);
    this.engine?.check(this.loop);
    const now_ms = performance.now();
    if (this.engine && !this.engine.isWaiting) this.moved_ms = now_ms;
    if (now_ms - this.shown_ms < SHOW_MS) return;
    this.shown_ms = now_ms;
    this.changed();
  }

  private ended(): void {
    if (this.loop.isOn) this.seek(this.loop.from_s);
    else this.pause();
  }
}
