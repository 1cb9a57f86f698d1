/** Holds the part of a stem that is near the place of play, and reads what is missing of it. */
import { type Piece, type StemFile, Unplayable } from "./stem_file.ts";
import { firstMissing, type Part, pieceAt, within } from "./window.ts";

// The first piece of a place is short, so that it is heard soon.
const FIRST_S = 2;
const PIECE_S = 5;

export class StemWindow {
  readonly file: StemFile;
  pieces: Piece[] = [];
  /** Set once the stem can no longer be played. */
  isBroken = false;
  private changed: () => void;
  private parts: Part[] = [];
  private reading?: { at: number; stop: AbortController };

  /** `changed` is called for each piece that has come, and when the stem breaks. */
  constructor(file: StemFile, changed: () => void) {
    [this.file, this.changed] = [file, changed];
  }

  /** Reads `parts`, the first one first, and drops what is neither of them nor of `keep`. All are in seconds. */
  want(parts: readonly Part[], keep: readonly Part[]): void {
    this.parts = parts.map((part) => this.inSamples(part));
    this.pieces = within(this.pieces, [...this.parts, ...keep.map((part) => this.inSamples(part))]);
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

  close(): void {
    this.reading?.stop.abort();
    this.isBroken = true;
    this.pieces = [];
  }

  private inSamples({ from, to }: Part): Part {
    const { rate_hz, length } = this.file;
    return { from: Math.floor(from * rate_hz), to: Math.min(Math.ceil(to * rate_hz), length) };
  }

  private async readNext(): Promise<void> {
    const part = this.parts.find((one) => firstMissing(this.pieces, one) !== undefined);
    if (!part) return;
    const at = firstMissing(this.pieces, part)!;
    const reading = { at, stop: new AbortController() };
    this.reading = reading;
    try {
      const seconds = pieceAt(this.pieces, at - 1) ? PIECE_S : FIRST_S;
      const piece = await this.file.piece(at, seconds, reading.stop.signal);
      if (this.reading !== reading) return;
      this.pieces.push(piece);
    } catch (error) {
      if (this.reading !== reading) return;
      if (!(error instanceof Unplayable)) throw error;
      this.isBroken = true;
    }
    this.reading = undefined;
    this.changed();
    if (!this.isBroken && !this.reading) void this.readNext();
  }
}
