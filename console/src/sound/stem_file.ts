/** What the player needs of a stem's file, whatever its format. All places and lengths are in samples. */

export interface StemFile {
  readonly rate_hz: number;
  readonly channels: number;
  readonly length: number;
  /**
   * Writes the samples from `at` on into the arrays, one for each channel. They end before the stem does.
   *
   * Throws Unplayable for data that are not what the file's beginning says, and what `Read` throws.
   */
  fill(channels: Float32Array[], at: number, signal: AbortSignal): Promise<void>;
}

/** Reads the file's bytes from `from` up to `to`. */
export type Read = (from: number, to: number, signal: AbortSignal) => Promise<Uint8Array<ArrayBuffer>>;

/** A file that this player cannot play. */
export class Unplayable extends Error {}
