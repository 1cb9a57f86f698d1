/** Reads any part of a FLAC file: looks for the frame that has a sample, and decodes frames from there. */
import { endOf, fileOf, firstFrame, type FlacInfo, frameAt } from "./flac_frames.ts";
import { type Piece, type Read, type StemFile, Unplayable } from "./stem_file.ts";

/** Decodes a whole file of the bytes. */
export type Decode = (file: Uint8Array<ArrayBuffer>, rate_hz: number) => Promise<AudioBuffer>;

/** A place between two frames. */
interface Place {
  /** In bytes from the file's beginning. */
  byte: number;
  /** The first sample behind it. */
  sample: number;
}

interface Cut { frames: Uint8Array; from: number; length: number; end: number }

// What is decoded in front of the sample that is wanted.
const MOST_LEAD_S = 1;
// Known places are few: those of pieces that have been read, and of searches.
const MOST_PLACES = 4000;

export class FlacFile implements StemFile {
  readonly rate_hz: number;
  readonly length: number;
  private info: FlacInfo;
  private read: Read;
  private decode: Decode;
  /** Sorted. The first is the first frame, and the last is the file's end. */
  private places: Place[];
  private bytesPerSample: number;

  /** The frames begin at byte `start`. The song has `length` samples in each channel, and the file `bytes` bytes. */
  constructor(info: FlacInfo, start: number, length: number, bytes: number, read: Read, decode: Decode) {
    [this.info, this.read, this.decode] = [info, read, decode];
    [this.rate_hz, this.length] = [info.rate_hz, length];
    this.places = [{ byte: start, sample: 0 }, { byte: bytes, sample: length }];
    this.bytesPerSample = (bytes - start) / length;
  }

  async piece(at: number, seconds: number, signal: AbortSignal): Promise<Piece> {
    const place = await this.before(at, signal);
    const wanted = at + Math.ceil(seconds * this.rate_hz);
    const cut = await this.cut(place, at, wanted, signal);
    const audio = await this.decode(fileOf(this.info, cut.frames), this.rate_hz).catch(() => undefined);
    // Some decoders leave out what they cannot read, and the stem would be out of step.
    if (audio?.length !== cut.length) throw new Unplayable("the file has frames that cannot be decoded");
    return { from: cut.from, length: cut.length, audio };
  }

  private get end(): Place {
    return this.places.at(-1)!;
  }

  /** Reads whole frames that have the samples from `at` up to `wanted`, or as many as have come. */
  private async cut(from: Place, at: number, wanted: number, signal: AbortSignal): Promise<Cut> {
    const guess = (wanted - from.sample) * this.bytesPerSample * 1.1 + 2 * this.info.frameBytes;
    for (let size = Math.ceil(guess); ; size *= 2) {
      const end = Math.min(from.byte + size, this.end.byte);
      const bytes = await this.read(from.byte, end, signal);
      const cut = this.cutOf(bytes, from, at, wanted, end === this.end.byte);
      if (cut) {
        this.remember({ byte: from.byte + cut.end, sample: cut.from + cut.length });
        this.bytesPerSample = cut.frames.length / cut.length;
        return cut;
      }
      if (end === this.end.byte) throw new Unplayable("the file ends early");
    }
  }

  /** Walks from frame to frame. Returns nothing where the data have less than half of what is wanted. */
  private cutOf(bytes: Uint8Array, from: Place, at: number, wanted: number, isAtEnd: boolean): Cut | undefined {
    let frame = frameAt(bytes, 0, this.info);
    if (frame?.first !== from.sample) throw new Unplayable("the file has changed");
    let start = frame!;
    let [end, last] = [0, from.sample];
    while (frame && last < wanted) {
      const next = endOf(bytes, frame, this.info, isAtEnd);
      if (next === undefined) break;
      [end, last] = [next, frame.first + frame.length];
      frame = frameAt(bytes, next, this.info);
      if (frame && frame.first <= at - MOST_LEAD_S * this.rate_hz) start = frame;
    }
    if (last <= at || (!isAtEnd && last - at < (wanted - at) / 2)) return undefined;
    return { frames: bytes.subarray(start.at, end), from: start.first, length: last - start.first, end };
  }

  /** Returns a place at most MOST_LEAD_S before the sample, or so near that what lies between is read at once. */
  private async before(sample: number, signal: AbortSignal): Promise<Place> {
    const window = 2 * this.info.frameBytes + 64;
    for (let step = 0; ; step++) {
      const place = this.places.findLastIndex((one) => one.sample <= sample && one !== this.end);
      const [low, high] = [this.places[place]!, this.places[place + 1]!];
      if (sample - low.sample < MOST_LEAD_S * this.rate_hz || high.byte - low.byte <= window) return low;
      // Mostly where it would be if all frames had one size. That alone finds frames of many sizes slowly.
      const share = step % 3 < 2 ? (sample - low.sample) / (high.sample - low.sample) : 0.5;
      const guess = low.byte + Math.max(1, Math.floor(share * (high.byte - low.byte - window)));
      const bytes = await this.read(guess, guess + window, signal);
      const found = firstFrame(bytes, 0, this.info, guess + window >= this.end.byte);
      if (!found || found.first <= low.sample || found.first >= high.sample)
        throw new Unplayable("the file has no frames where they should be");
      this.remember({ byte: guess + found.at, sample: found.first });
    }
  }

  private remember(place: Place): void {
    const next = this.places.findIndex((one) => one.byte >= place.byte);
    if (this.places[next]?.byte !== place.byte) this.places.splice(next, 0, place);
    if (this.places.length > MOST_PLACES) this.places.splice(1, MOST_PLACES / 2);
  }
}
