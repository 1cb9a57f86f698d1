/** What the player needs of a stem's file, whatever its format. */

/** Some seconds of a stem, decoded. */
export interface Piece {
  /** Its first sample, counted from the beginning of the song. */
  from: number;
  /** How many samples each channel has. */
  length: number;
  audio: AudioBuffer;
}

export interface StemFile {
  readonly rate_hz: number;
  /** How many samples each channel has. */
  readonly length: number;
  /**
   * Decodes about `seconds` from sample `at` on, or from a little before. The piece has at least sample `at`.
   *
   * Throws Unplayable for data that are not what the file's beginning says, and what `Read` throws.
   */
  piece(at: number, seconds: number, signal: AbortSignal): Promise<Piece>;
}

/** Reads the file's bytes from `from` up to `to`. */
export type Read = (from: number, to: number, signal: AbortSignal) => Promise<Uint8Array<ArrayBuffer>>;

/** A file that this player cannot play. */
export class Unplayable extends Error {}
