/** Plays the stems of a song together: a media element for each, so that an hour of audio needs little memory. */

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
}

export interface Loop { isOn: boolean; from_s: number; to_s: number }

const CHECK_MS = 200;
// Below this difference nobody hears two stems apart, and the clocks of media elements are no finer.
const IN_STEP_S = 0.005;
// Beyond this difference a jump is heard less than the minutes that a change of speed would take.
const JUMP_S = 0.25;
const MOST_RATE_CHANGE = 0.02;

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
  private context?: AudioContext;
  private usesGains = true;
  private timer = 0;

  /** `changed` is called after each change that people see. */
  constructor(stems: [name: string, url: string][], readonly duration_s: number, private changed: () => void) {
    this.loop.to_s = duration_s;
    this.tracks = stems.map(([name, url]) => ({
      name, url, element: this.makeElement(url), level: 1, isMuted: false, isSolo: false, isBroken: false,
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

  async play(): Promise<void> {
    this.isPlaying = true;
    this.changed();
    this.connect();
    await this.context?.resume();
    if (this.position_s >= this.duration_s - 0.05) this.seek(0);
    this.align();
    await Promise.all(this.whole.map((track) => track.element.play().catch(() => this.changed())));
    clearInterval(this.timer);
    this.timer = setInterval(() => this.check(), CHECK_MS);
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
    // All wait for one that has no data yet.
    element.addEventListener("waiting", () => this.holdFor(track));
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

  private setLevels(): void {
    const isOneSolo = this.tracks.some((track) => track.isSolo);
    for (const track of this.tracks) {
      const level = track.isMuted || (isOneSolo && !track.isSolo) ? 0 : track.level;
      // A short ramp, because a jump of the level clicks.
      if (track.gain) track.gain.gain.setTargetAtTime(level, this.context!.currentTime, 0.01);
      else if (!this.usesGains) track.element.volume = level;
    }
  }

  private holdFor(track: Track): void {
    if (!this.isPlaying) return;
    const others = this.whole.filter((other) => other !== track);
    for (const { element } of others) element.pause();
    track.element.addEventListener("playing", () => {
      if (!this.isPlaying) return;
      this.align(track);
      for (const { element } of others) void element.play().catch(() => this.changed());
    }, { once: true });
  }

  /** Puts all tracks where `to` is. */
  private align(to = this.leader): void {
    for (const { element } of this.whole) {
      element.playbackRate = 1;
      if (to && element !== to.element) element.currentTime = to.element.currentTime;
    }
  }

  private check(): void {
    const { isOn, from_s, to_s } = this.loop;
    const position_s = this.position_s;
    if (isOn && position_s >= to_s) return this.seek(from_s);
    for (const { element } of this.whole.slice(1)) {
      if (element.seeking || element.paused) continue;
      const ahead_s = element.currentTime - position_s;
      if (Math.abs(ahead_s) > JUMP_S) element.currentTime = position_s;
      const isInStep = Math.abs(ahead_s) < IN_STEP_S || Math.abs(ahead_s) > JUMP_S;
      const change = Math.max(-MOST_RATE_CHANGE, Math.min(MOST_RATE_CHANGE, ahead_s));
      element.playbackRate = isInStep ? 1 : 1 - change;
    }
  }

  private ended(): void {
    if (!this.loop.isOn) return this.pause();
    this.seek(this.loop.from_s);
    for (const { element } of this.whole) void element.play().catch(() => this.changed());
  }
}
