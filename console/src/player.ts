/** Plays the stems of a song together: a media element for each, so that an hour of audio needs little memory. */
import { hasNoData, isAtEnd } from "./media";

export interface Track {
  name: string;
  url: string;
  element: HTMLAudioElement;
  gain?: GainNode;
  /** 0 to 1. */
  level: number;
  isMuted: boolean;
  isSolo: boolean;
  isBroken: boolean;
  /** Whether the track is so far from the leader that people would hear it twice. It is silent until it is back. */
  isApart: boolean;
}

export interface Loop { isOn: boolean; from_s: number; to_s: number }

const CHECK_MS = 50;
// Below this difference nobody hears two stems apart, and the clocks of media elements are no finer.
const IN_STEP_S = 0.005;
// Beyond this difference a jump is heard less than the minutes that a change of speed would take.
const JUMP_S = 0.25;
// Beyond this difference two stems are heard apart.
const APART_S = 0.015;
const MOST_RATE_CHANGE = 0.02;
// Of a track that is silent meanwhile.
const MOST_SILENT_RATE_CHANGE = 0.25;

/**
 * The first track that plays leads. The others are kept in step with it by small changes of their speed.
 *
 * Levels are set by Web Audio where the bucket allows it (CORS). Elsewhere Web Audio would hear silence, and the
 * elements' own volume is set.
 */
export class Player {
  readonly tracks: Track[];
  readonly loop: Loop = { isOn: false, from_s: 0, to_s: 0 };
  isPlaying = false;
  /** Whether all tracks stand still until the last one has data. */
  private isHeld = false;
  private context?: AudioContext;
  private usesGains = true;
  private timer = 0;

  /** `changed` is called after each change that people see. */
  constructor(stems: [name: string, url: string][], readonly duration_s: number, private changed: () => void) {
    this.loop.to_s = duration_s;
    this.tracks = stems.map(([name, url]) => ({
      name, url, element: this.makeElement(url), level: 1, isMuted: false, isSolo: false, isBroken: false,
      isApart: false,
    }));
    this.tracks.forEach((track) => this.watch(track));
  }

  get position_s(): number {
    return this.leader?.element.currentTime ?? 0;
  }

  /** The largest difference between a track and the leader, in seconds. */
  get spread_s(): number {
    return Math.max(0, ...this.whole.map((track) => Math.abs(track.element.currentTime - this.position_s)));
  }

  /** The same among the tracks that sound. */
  get heardSpread_s(): number {
    const sounding = this.whole.filter((track) => !track.isApart);
    return Math.max(0, ...sounding.map((track) => Math.abs(track.element.currentTime - this.position_s)));
  }

  async play(): Promise<void> {
    this.isPlaying = true;
    this.changed();
    this.connect();
    if (this.position_s >= this.duration_s - 0.05) this.seek(0);
    clearInterval(this.timer);
    this.timer = setInterval(() => this.check(), CHECK_MS);
    for (const { element } of this.whole) element.preload = "auto";
    // At once, because browsers allow it only while they handle what the user did.
    this.start();
    await this.context?.resume();
  }

  pause(): void {
    this.isPlaying = false;
    clearInterval(this.timer);
    for (const { element } of this.tracks) element.pause();
    this.align();
    this.changed();
  }

  toggle(): void {
    if (this.isPlaying) this.pause();
    else void this.play();
  }

  seek(position_s: number): void {
    const to = Math.min(Math.max(0, position_s), this.duration_s);
    for (const { element } of this.tracks) element.currentTime = to;
    this.changed();
  }

  set(track: Track, change: Partial<Pick<Track, "level" | "isMuted" | "isSolo">>): void {
    Object.assign(track, change);
    this.setLevels();
    this.changed();
  }

  setLoop(change: Partial<Loop>): void {
    Object.assign(this.loop, change);
    if (this.loop.to_s <= this.loop.from_s) this.loop.to_s = this.duration_s;
    this.changed();
  }

  close(): void {
    clearInterval(this.timer);
    for (const track of this.tracks) {
      track.element.pause();
      track.element.removeAttribute("src");
      track.element.load();
    }
    void this.context?.close();
  }

  private get whole(): Track[] {
    return this.tracks.filter((track) => !track.isBroken);
  }

  private get leader(): Track | undefined {
    return this.whole[0];
  }

  private makeElement(url: string): HTMLAudioElement {
    const element = new Audio();
    if (this.usesGains) element.crossOrigin = "anonymous";
    element.preload = "metadata";
    element.preservesPitch = false; // the pitch of 1 % of speed is not heard, its correction is
    element.src = url;
    return element;
  }

  private watch(track: Track): void {
    const { element } = track;
    element.addEventListener("error", () => {
      if (track.element !== element) return;
      if (this.usesGains && !this.context) return this.withoutGains();
      track.isBroken = true;
      this.changed();
    });
    element.addEventListener("ended", () => track === this.leader && this.ended());
    element.addEventListener("timeupdate", () => track === this.leader && this.changed());
  }

  private withoutGains(): void {
    this.usesGains = false;
    for (const track of this.tracks) {
      track.element.removeAttribute("src");
      track.element = this.makeElement(track.url);
      this.watch(track);
    }
    this.setLevels();
  }

  private connect(): void {
    if (!this.usesGains || this.context) return;
    this.context = new AudioContext();
    for (const track of this.tracks) {
      track.gain = this.context.createGain();
      this.context.createMediaElementSource(track.element).connect(track.gain).connect(this.context.destination);
    }
    this.setLevels();
  }

  /** Whether the track is neither muted nor left out by another's solo. */
  isHeard(track: Track): boolean {
    return !track.isMuted && (track.isSolo || !this.tracks.some((other) => other.isSolo));
  }

  private setLevels(): void {
    for (const track of this.tracks) {
      const level = this.isHeard(track) && !track.isApart ? track.level : 0;
      // A short ramp, because a jump of the level clicks.
      if (track.gain) track.gain.gain.setTargetAtTime(level, this.context!.currentTime, 0.01);
      else if (!this.usesGains) track.element.volume = level;
    }
  }

  private start(): void {
    this.isHeld = false;
    for (const { element } of this.whole)
      if (element.paused && !isAtEnd(element)) void element.play().catch(() => this.changed());
  }

  /** Puts all tracks where the leader is. Returns whether one of them has to find its place first. */
  private align(): boolean {
    const position_s = this.position_s;
    // A stem may be a little shorter than the others.
    const placeOf = (element: HTMLAudioElement) => Math.min(position_s, element.duration);
    const elements = this.whole.map((track) => track.element);
    const apart = elements.filter((element) => Math.abs(element.currentTime - placeOf(element)) > IN_STEP_S);
    for (const element of apart) element.currentTime = placeOf(element);
    for (const { element } of this.whole) element.playbackRate = 1;
    return apart.length > 0;
  }

  /** Holds all tracks while one has no data, and starts them together; else keeps them in step. */
  private check(): void {
    const { isOn, from_s, to_s } = this.loop;
    if (isOn && this.position_s >= to_s) this.seek(from_s);
    if (this.whole.some(({ element }) => hasNoData(element))) {
      this.isHeld = true;
      for (const { element } of this.whole) element.pause();
      return;
    }
    if (this.isHeld) {
      if (!this.align()) this.start();
      return;
    }
    for (const track of this.whole.slice(1)) this.keepInStep(track);
  }

  private keepInStep(track: Track): void {
    const { element } = track;
    if (isAtEnd(element)) return;
    const ahead_s = element.currentTime - this.position_s;
    const isApart = Math.abs(ahead_s) > APART_S;
    if (isApart !== track.isApart) {
      track.isApart = isApart;
      this.setLevels();
    }
    if (Math.abs(ahead_s) > JUMP_S) {
      element.currentTime = this.position_s;
      return;
    }
    // A difference is gone after half a second, or later where the change of speed could be heard.
    const most = isApart ? MOST_SILENT_RATE_CHANGE : MOST_RATE_CHANGE;
    const change = Math.max(-most, Math.min(most, 2 * ahead_s));
    element.playbackRate = Math.abs(ahead_s) < IN_STEP_S ? 1 : 1 - change;
  }

  private ended(): void {
    if (!this.loop.isOn) return this.pause();
    this.seek(this.loop.from_s);
    this.isHeld = true;
  }
}
