/** Holds the part of a stem that is near the place of play, and reads what is missing of it. */
import { type StemFile, Unplayable } from "./stem_file.ts";
import { firstMissing, type Part, pieceAt, within } from "./window.ts";

/** Some seconds of a stem, decoded. Places and lengths are in samples. */
export interface Piece {
  /** Its first sample, counted from the beginning of the song. */
  from: number;
  length: number;
  /** Has silence behind the piece's length. */
  audio: AudioBuffer;
  /** How many hold it: the window, and the nodes that play it. */
  users: number;
}

export const PIECE_S = 3;
// The first piece of a place is short, so that it is heard soon.
const FIRST_S = 1.5;

export class StemWindow {
  readonly file: StemFile;
  pieces: Piece[] = [];
  /** Set once the stem can no longer be played. */
  isBroken = false;
  private newBuffer: () => AudioBuffer;
  private changed: () => void;
  private parts: Part[] = [];
  private reading?: { at: number; stop: AbortController };
  /** Used again and again: a browser takes a hundred megabytes of new ones before it frees the old ones. */
  private unused: AudioBuffer[] = [];

  /**
   * `newBuffer` makes a buffer for up to PIECE_S of the stem. `changed` is called for each piece that has come, and
   * when the stem breaks.
   */
  constructor(file: StemFile, newBuffer: () => AudioBuffer, changed: () => void) {
    [this.file, this.newBuffer, this.changed] = [file, newBuffer, changed];
  }

  /** Reads `parts`, the first one first, and drops what is neither of them nor of `keep`. All are in seconds. */
  want(parts: readonly Part[], keep: readonly Part[]): void {
    this.parts = parts.map((part) => this.inSamples(part));
    this.keep(within(this.pieces, [...this.parts, ...keep.map((part) => this.inSamples(part))]));
    const { reading } = this;
    if (reading && !this.parts.some(({ from, to }) => from <= reading.at && reading.at < to)) {
      reading.stop.abort();
      this.reading = undefined;
    }
    if (!this.reading && !this.isBroken) void this.readNext();
  }

  /** Whether all of the part is there that the stem has, or nothing more will come. */
  has(part: Part): boolean {
    return this.isBroken || firstMissing(this.pieces, this.inSamples(part)) === undefined;
  }

  /** Says that a user needs the piece no more. */
  letGo(piece: Piece): void {
    piece.users -= 1;
    if (piece.users === 0) this.unused.push(piece.audio);
  }

  close(): void {
    this.reading?.stop.abort();
    this.isBroken = true;
    this.keep([]);
  }

  private keep(pieces: Piece[]): void {
    for (const piece of this.pieces) if (!pieces.includes(piece)) this.letGo(piece);
    this.pieces = pieces;
  }

  private inSamples({ from, to }: Part): Part {
    const { rate_hz, length } = this.file;
    return { from: Math.floor(from * rate_hz), to: Math.min(Math.ceil(to * rate_hz), length) };
  }

  private async readNext(): Promise<void> {
    const part = this.parts.find((one) => firstMissing(this.pieces, one) !== undefined);
    if (!part) return;
    const reading = { at: firstMissing(this.pieces, part)!, stop: new AbortController() };
    this.reading = reading;
    const piece = await this.read(reading.at, reading.stop.signal);
    if (this.reading !== reading) {
      if (piece) this.letGo(piece);
      return;
    }
    if (piece) this.pieces.push(piece);
    else this.isBroken = true;
    this.reading = undefined;
    this.changed();
    if (!this.reading && !this.isBroken) void this.readNext();
  }

  /** Returns the piece that begins at the sample; nothing where it cannot be played or is no longer wanted. */
  private async read(at: number, signal: AbortSignal): Promise<Piece | undefined> {
    const audio = this.unused.pop() ?? this.newBuffer();
    const seconds = pieceAt(this.pieces, at - 1) ? PIECE_S : FIRST_S;
    const length = Math.min(Math.round(seconds * this.file.rate_hz), audio.length, this.file.length - at);
    const channels = Array.from({ length: audio.numberOfChannels }, (_, channel) => audio.getChannelData(channel));
    for (const samples of channels) samples.fill(0, length);
    try {
      await this.file.fill(channels.map((samples) => samples.subarray(0, length)), at, signal);
      return { from: at, length, audio, users: 1 };
    } catch (error) {
      this.unused.push(audio);
      if (signal.aborted || error instanceof Unplayable) return undefined;
      throw error;
    }
  }
}
