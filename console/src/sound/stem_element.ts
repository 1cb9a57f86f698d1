/** The media element of a stem, which gets its data anew after the network or the link has failed. */
import { paused } from "../pause.ts";
import { type Link, pauseAfter, renewed } from "./bytes.ts";

// So often new links give no data before the file counts as gone. With the pauses between, a store has 15 s to start again.
const MOST_RENEWALS = 5;

export interface Heard {
  /** Resolves while the song plays, or once it does again. */
  untilPlayed: () => Promise<void>;
  /** Whether the bucket has just been found to refuse pages, and the stem's element will be replaced. */
  isRefused: () => boolean;
  /** Whether the stem can no longer be played has changed. */
  changed: () => void;
  ended: () => void;
}

export class StemElement {
  element: HTMLAudioElement;
  gain?: GainNode;
  level = 1;
  isBroken = false;
  /** Whether the stem is so far from the leader that people would hear it twice. It is silent until it is back. */
  isApart = false;
  /** Whether the bucket has ever given data. */
  hasCome = false;
  private readonly link: Link;
  private readonly heard: Heard;
  private readonly pause: typeof paused;
  private readonly closing = new AbortController();
  /** Whether the element has failed, and does not try again yet. */
  private isAway = false;
  private tries = 0;
  /** How many new links the API has given since data last came. */
  private renewals = 0;

  /** `isOpen`: whether the page asks to read the data, as Web Audio needs. */
  constructor(link: Link, isOpen: boolean, heard: Heard, pause = paused) {
    this.link = link;
    this.heard = heard;
    this.pause = pause;
    this.element = this.made(isOpen);
  }

  get hasNoData(): boolean {
    const { element } = this;
    if (this.isAway || element.seeking) return true;
    return element.readyState < HTMLMediaElement.HAVE_FUTURE_DATA && !this.isAtEnd;
  }

  get isAtEnd(): boolean {
    return this.element.ended || this.element.currentTime >= this.element.duration;
  }

  /** Whether the stem can be moved there. A store that serves no parts of a file lets browsers play it only as it comes. */
  canBeAt(position_s: number): boolean {
    const { readyState, seekable } = this.element;
    if (readyState === HTMLMediaElement.HAVE_NOTHING) return true; // it will begin there
    const ranges = Array.from({ length: seekable.length }, (_, place) => [seekable.start(place), seekable.end(place)]);
    return ranges.some(([from_s, to_s]) => from_s! <= position_s && position_s <= to_s!);
  }

  /** Begins with another element. */
  replace(isOpen: boolean): void {
    stop(this.element);
    this.gain = undefined;
    this.isAway = false;
    this.element = this.made(isOpen);
  }

  close(): void {
    this.closing.abort();
    stop(this.element);
  }

  private made(isOpen: boolean): HTMLAudioElement {
    const element = new Audio();
    if (isOpen) element.crossOrigin = "anonymous";
    element.preload = "metadata";
    element.preservesPitch = false; // the pitch of 1 % of speed is not heard, its correction is
    element.src = this.link.url;
    element.addEventListener("loadedmetadata", () => { this.hasCome = true; });
    element.addEventListener("canplay", () => {
      this.tries = 0;
      this.renewals = 0;
    });
    element.addEventListener("error", () => element === this.element && this.failed());
    element.addEventListener("ended", () => element === this.element && this.heard.ended());
    return element;
  }

  private failed(): void {
    if (this.heard.isRefused()) return;
    const isGone = this.renewals === MOST_RENEWALS;
    if (this.element.error?.code === MediaError.MEDIA_ERR_DECODE || isGone) return this.breakDown();
    void this.loadAnew();
  }

  private breakDown(): void {
    this.isBroken = true;
    this.heard.changed();
  }

  /** Asks for the data anew where the stem is, once a while has passed and the song plays. The link's time may be over. */
  private async loadAnew(): Promise<void> {
    const { element, link } = this;
    const { signal } = this.closing;
    this.isAway = true;
    this.tries += 1;
    try {
      await this.pause(pauseAfter(this.tries), signal);
      await this.heard.untilPlayed();
      if (await renewed(link)) this.renewals += 1;
    } catch {
      // The player is closed, or the stem is gone.
      if (!signal.aborted) this.breakDown();
      return;
    }
    if (signal.aborted || element !== this.element) return;
    this.isAway = false;
    const position_s = element.currentTime;
    // The stem is held until it could be played: without this, browsers get no more of it before it is.
    element.preload = "auto";
    element.src = link.url;
    element.currentTime = position_s;
  }
}

function stop(element: HTMLAudioElement): void {
  element.pause();
  element.removeAttribute("src");
  element.load();
}
