/** Reads WAV files: PCM of 8, 16, 24 or 32 bits, and floats of 32 bits. */
import { type Read, type StemFile, Unplayable } from "./stem_file.ts";

const PCM = 1;
const FLOAT = 3;
const EXTENSIBLE = 0xfffe;

export interface WavInfo {
  format: number;
  channels: number;
  rate_hz: number;
  /** Bytes of a sample of one channel. */
  bytes: number;
  /** Where the samples begin in the file, in bytes. */
  start: number;
  /** How many samples each channel has. */
  length: number;
}

const text = (bytes: Uint8Array, at: number) => String.fromCharCode(...bytes.subarray(at, at + 4));

/** Returns what the file says of itself at its beginning; undefined where that is not a WAV that can be played. */
export function wavInfoOf(head: Uint8Array<ArrayBuffer>, fileBytes: number): WavInfo | undefined {
  if (!["RIFF", "RF64"].includes(text(head, 0)) || text(head, 8) !== "WAVE") return undefined;
  const view = new DataView(head.buffer, head.byteOffset, head.length);
  let format: Omit<WavInfo, "start" | "length"> | undefined;
  for (let at = 12; at + 8 <= head.length; ) {
    const [name, size, start] = [text(head, at), view.getUint32(at + 4, true), at + 8];
    if (name === "fmt " && start + 16 <= head.length) format = formatOf(view, start, size);
    if (name === "data") {
      if (!format || !isPlayable(format)) return undefined;
      // A length of all ones stands for one that 32 bits do not hold.
      const bytes = Math.min(size === 0xffffffff ? Infinity : size, fileBytes - start);
      return { ...format, start, length: Math.floor(bytes / (format.bytes * format.channels)) };
    }
    at = start + size + (size & 1);
  }
  return undefined;
}

function formatOf(view: DataView, at: number, size: number): Omit<WavInfo, "start" | "length"> {
  const tag = view.getUint16(at, true);
  const isExtensible = tag === EXTENSIBLE && size >= 26 && at + 26 <= view.byteLength;
  return {
    format: isExtensible ? view.getUint16(at + 24, true) : tag,
    channels: view.getUint16(at + 2, true),
    rate_hz: view.getUint32(at + 4, true),
    bytes: view.getUint16(at + 14, true) / 8,
  };
}

function isPlayable({ format, channels, bytes }: Omit<WavInfo, "start" | "length">): boolean {
  return channels > 0 && (format === FLOAT ? bytes === 4 : format === PCM && [1, 2, 3, 4].includes(bytes));
}

/** Writes the samples, from -1 to 1, into the arrays, one for each channel. */
export function writeSamples(info: WavInfo, data: Uint8Array<ArrayBuffer>, channels: Float32Array[]): void {
  const sample = readerOf(info, new DataView(data.buffer, data.byteOffset, data.length));
  const step = info.bytes * info.channels;
  channels.forEach((samples, channel) => {
    for (let n = 0, at = channel * info.bytes; n < samples.length; n++, at += step) samples[n] = sample(at);
  });
}

function readerOf({ format, bytes }: WavInfo, view: DataView): (at: number) => number {
  if (format === FLOAT) return (at) => view.getFloat32(at, true);
  if (bytes === 1) return (at) => (view.getUint8(at) - 128) / 128;
  if (bytes === 2) return (at) => view.getInt16(at, true) / 2 ** 15;
  if (bytes === 3) return (at) => (view.getUint16(at, true) | (view.getInt8(at + 2) << 16)) / 2 ** 23;
  return (at) => view.getInt32(at, true) / 2 ** 31;
}

export class WavFile implements StemFile {
  readonly rate_hz: number;
  readonly channels: number;
  readonly length: number;
  private info: WavInfo;
  private read: Read;

  constructor(info: WavInfo, read: Read) {
    [this.info, this.read] = [info, read];
    [this.rate_hz, this.channels, this.length] = [info.rate_hz, info.channels, info.length];
  }

  async fill(channels: Float32Array[], at: number, signal: AbortSignal): Promise<void> {
    const step = this.info.bytes * this.channels;
    const from = this.info.start + at * step;
    const data = await this.read(from, from + channels[0]!.length * step, signal);
    if (data.length < channels[0]!.length * step) throw new Unplayable("the file is shorter than it says");
    writeSamples(this.info, data, channels);
  }
}
