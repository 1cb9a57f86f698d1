/** Reads any part of a FLAC file: looks for the frame that has a sample, and decodes frames from there. */
import { FrameDecoder } from "./flac_decode.ts";
import { endOf, firstFrame, type FlacInfo, frameAt } from "./flac_frames.ts";
import { type Read, type StemFile, Unplayable } from "./stem_file.ts";

/** A place between two frames. */
interface Place {
  /** In bytes from the file's beginning. */
  byte: number;
  /** The first sample behind it. */
  sample: number;
}

/** The samples that are wanted, and where they go. */
interface Wanted { channels: Float32Array[]; from: number; to: number }

// Frames of so long are passed over in front of the one that is wanted, which is faster than to search on.
const MOST_LEAD_S = 1;
// Known places are few: those of pieces that have been read, and of searches.
const MOST_PLACES = 4000;

export class FlacFile implements StemFile {
  readonly rate_hz: number;
  readonly channels: number;
  readonly length: number;
  private info: FlacInfo;
  private read: Read;
  private decoder: FrameDecoder;
  /** Sorted. The first is the first frame, and the last is the file's end. */
  private places: Place[];
  private bytesPerSample: number;

  /** The frames begin at byte `start`. The song has `length` samples in each channel, and the file `bytes` bytes. */
  constructor(info: FlacInfo, start: number, length: number, bytes: number, read: Read) {
    [this.info, this.read, this.decoder] = [info, read, new FrameDecoder(info)];
    [this.rate_hz, this.channels, this.length] = [info.rate_hz, info.channels, length];
    this.places = [{ byte: start, sample: 0 }, { byte: bytes, sample: length }];
    this.bytesPerSample = (bytes - start) / length;
  }

  async fill(channels: Float32Array[], at: number, signal: AbortSignal): Promise<void> {
    const wanted = { channels, from: at, to: at + channels[0]!.length };
    let place = await this.before(at, signal);
    while (place.sample < wanted.to) {
      // Two frames more, so that there is a whole one however large it is.
      const size = (wanted.to - place.sample) * this.bytesPerSample + 2 * this.info.frameBytes;
      const end = Math.min(place.byte + Math.ceil(size), this.end.byte);
      const bytes = await this.read(place.byte, end, signal);
      const next = this.decode(bytes, place, wanted, end === this.end.byte);
      if (next.sample === place.sample) throw new Unplayable("the file has no whole frame where there should be one");
      this.bytesPerSample = (next.byte - place.byte) / (next.sample - place.sample);
      place = next;
    }
  }

  private get end(): Place {
    return this.places.at(-1)!;
  }

  /** Decodes the data, which begin at `place`, as far as is wanted. Returns the place behind the last whole frame. */
  private decode(bytes: Uint8Array, place: Place, wanted: Wanted, isAtEnd: boolean): Place {
    let frame = frameAt(bytes, 0, this.info);
    let next = place;
    while (frame && frame.first < wanted.to) {
      if (frame.first !== next.sample) throw new Unplayable("the file has changed");
      const end = endOf(bytes, frame, this.info, isAtEnd);
      if (end === undefined) break;
      next = { byte: place.byte + end, sample: frame.first + frame.length };
      if (next.sample > wanted.from) {
        if (!this.decoder.decode(bytes, frame)) throw new Unplayable("the file has a frame that cannot be decoded");
        this.copy(frame.first, next.sample, wanted);
      }
      // The next part begins in the last frame of this one, or behind it.
      if (next.sample >= wanted.to) this.remember({ byte: place.byte + frame.at, sample: frame.first });
      frame = frameAt(bytes, end, this.info);
    }
    return next;
  }

  /** Copies what is wanted of the samples from `first` up to `behind`, which have been decoded. */
  private copy(first: number, behind: number, { channels, from, to }: Wanted): void {
    const scale = 2 ** (1 - this.info.bits);
    const [begin, end] = [Math.max(first, from), Math.min(behind, to)];
    channels.forEach((channel, place) => {
      const samples = this.decoder.samples[place]!;
      for (let n = begin; n < end; n++) channel[n - from] = samples[n - first]! * scale;
    });
  }

  /** Returns a place at most MOST_LEAD_S before the sample, or so near that what lies between is read at once. */
  private async before(sample: number, signal: AbortSignal): Promise<Place> {
    const window = 2 * this.info.frameBytes + 64;
    for (let step = 0; ; step++) {
      const place = this.places.findLastIndex((one) => one.sample <= sample && one !== this.end);
      const [low, high] = [this.places[place]!, this.places[place + 1]!];
      if (sample - low.sample < MOST_LEAD_S * this.rate_hz || high.byte - low.byte <= window) return low;
      // Every second time where it would be if all frames had one size. That alone finds frames of many sizes slowly.
      const share = step % 2 === 0 ? (sample - low.sample) / (high.sample - low.sample) : 0.5;
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
