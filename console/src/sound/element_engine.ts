/** Plays stems by a media element for each. The first one that works leads, and the others are kept in step with it. */
import type { paused } from "../pause.ts";
import type { Link } from "./bytes.ts";
import type { Changed, Engine, Loop } from "./engine.ts";
import { StemElement } from "./stem_element.ts";

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
 * Levels are set by Web Audio where the bucket allows it (CORS). Elsewhere Web Audio would hear silence, and the
 * elements' own volume is set.
 */
export class ElementEngine implements Engine {
  private readonly stems: StemElement[];
  private readonly changed: Changed;
  private isPlaying = false;
  /** Called at the next play. */
  private whenPlayed: (() => void)[] = [];
  /** Whether all stems stand still until the last one has data. */
  private isHeld = false;
  private context?: AudioContext;
  private usesGains = true;

  /** `ended` is called when the leader has come to its end. */
  constructor(links: Link[], changed: Changed, ended: () => void, pause?: typeof paused) {
    this.changed = changed;
    this.stems = links.map((link, place) => {
      const isRefused = () => this.isRefused();
      const untilPlayed = () => this.untilPlayed();
      const heard = { untilPlayed, isRefused, changed, ended: () => this.stems[place] === this.leader && ended() };
      return new StemElement(link, this.usesGains, heard, pause);
    });
  }

  get position_s(): number {
    return this.leader?.element.currentTime ?? 0;
  }

  get isWaiting(): boolean {
    return this.isPlaying && this.isHeld;
  }

  get spread_s(): number {
    return this.spreadOf(this.whole);
  }

  get heardSpread_s(): number {
    return this.spreadOf(this.whole.filter((stem) => !stem.isApart));
  }

  isBroken(stem: number): boolean {
    return this.stems[stem]!.isBroken;
  }

  gainOf(stem: number): GainNode | undefined {
    return this.stems[stem]!.gain;
  }

  play(): void {
    this.isPlaying = true;
    this.connect();
    // At once, because browsers allow it only while they handle what the user did.
    this.start();
    void this.context?.resume();
    // A stem that has failed meanwhile gets another link, which stops it: all are started together then.
    if (this.whenPlayed.length) this.isHeld = true;
    for (const go of this.whenPlayed.splice(0)) go();
  }

  pause(): void {
    this.isPlaying = false;
    for (const { element } of this.stems) element.pause();
    this.align();
  }

  seek(position_s: number): void {
    for (const { element } of this.stems) element.currentTime = position_s;
    // An element that has come to its end plays on only when it is started again.
    this.isHeld = this.isPlaying;
  }

  setLevel(stem: number, level: number): void {
    this.stems[stem]!.level = level;
    this.setLevels();
  }

  /** Holds all stems while one has no data, and starts them together; else keeps them in step. */
  check({ isOn, from_s, to_s }: Loop): void {
    if (!this.isPlaying) return;
    if (isOn && this.position_s >= to_s) this.seek(from_s);
    if (this.whole.some((stem) => stem.hasNoData)) {
      this.isHeld = true;
      for (const { element } of this.whole) element.pause();
      return;
    }
    if (this.isHeld) {
      if (!this.align()) this.start();
      return;
    }
    for (const stem of this.whole.slice(1)) this.keepInStep(stem);
  }

  close(): void {
    for (const stem of this.stems) stem.close();
    void this.context?.close();
  }

  private get whole(): StemElement[] {
    return this.stems.filter((stem) => !stem.isBroken);
  }

  private get leader(): StemElement | undefined {
    return this.whole[0];
  }

  private spreadOf(stems: StemElement[]): number {
    return Math.max(0, ...stems.map(({ element }) => Math.abs(element.currentTime - this.position_s)));
  }

  private untilPlayed(): Promise<void> {
    return new Promise((resolve) => (this.isPlaying ? resolve() : this.whenPlayed.push(resolve)));
  }

  /** Whether the bucket does not let pages read its files, as the stems' first errors are taken. Goes on without that. */
  private isRefused(): boolean {
    // An element that has had data shows that the bucket allows the page to read it.
    if (!this.usesGains || this.stems.some((one) => one.hasCome)) return false;
    this.withoutGains();
    return true;
  }

  /** Begins anew with elements that pass no Web Audio, where the song is. It may have been told to play already. */
  private withoutGains(): void {
    const { position_s, isPlaying } = this;
    this.usesGains = false;
    void this.context?.close();
    this.context = undefined;
    for (const stem of this.stems) stem.replace(false);
    this.setLevels();
    this.seek(position_s);
    if (isPlaying) this.start();
  }

  private connect(): void {
    if (!this.usesGains || this.context) return;
    this.context = new AudioContext();
    for (const stem of this.stems) {
      stem.gain = this.context.createGain();
      this.context.createMediaElementSource(stem.element).connect(stem.gain).connect(this.context.destination);
    }
    this.setLevels();
  }

  private setLevels(): void {
    for (const stem of this.stems) {
      const level = stem.isApart ? 0 : stem.level;
      // A short ramp, because a jump of the level clicks.
      if (stem.gain) stem.gain.gain.setTargetAtTime(level, this.context!.currentTime, 0.01);
      else if (!this.usesGains) stem.element.volume = level;
    }
  }

  private start(): void {
    this.isHeld = false;
    for (const { element, isAtEnd } of this.whole)
      if (element.paused && !isAtEnd) void element.play().catch(() => this.changed());
  }

  /**
   * Puts all stems where the leader is. Returns whether one of them has to find its place first. One that cannot be moved
   * comes into step as it plays.
   */
  private align(): boolean {
    const position_s = this.position_s;
    // A stem may be a little shorter than the others.
    const placeOf = (element: HTMLAudioElement) => Math.min(position_s, element.duration);
    const apart = this.whole.filter((stem) => {
      const place_s = placeOf(stem.element);
      return Math.abs(stem.element.currentTime - place_s) > IN_STEP_S && stem.canBeAt(place_s);
    });
    for (const { element } of apart) element.currentTime = placeOf(element);
    for (const { element } of this.whole) element.playbackRate = 1;
    return apart.length > 0;
  }

  private keepInStep(stem: StemElement): void {
    const { element } = stem;
    if (stem.isAtEnd) return;
    const ahead_s = element.currentTime - this.position_s;
    const isApart = Math.abs(ahead_s) > APART_S;
    if (isApart !== stem.isApart) {
      stem.isApart = isApart;
      this.setLevels();
    }
    if (Math.abs(ahead_s) > JUMP_S && stem.canBeAt(this.position_s)) {
      element.currentTime = this.position_s;
      return;
    }
    // A difference is gone after half a second, or later where the change of speed could be heard.
    const most = isApart ? MOST_SILENT_RATE_CHANGE : MOST_RATE_CHANGE;
    const change = Math.max(-most, Math.min(most, 2 * ahead_s));
    element.playbackRate = Math.abs(ahead_s) < IN_STEP_S ? 1 : 1 - change;
  }
}
