/** Finds the frames of FLAC data (RFC 9639), so that decoding can begin at any of them. */

export interface FlacInfo {
  /** The largest block, in samples of each channel. In files with blocks of one size it is that size. */
  block: number;
  /** An upper bound for a frame, in bytes. */
  frameBytes: number;
  rate_hz: number;
  channels: number;
  /** Bits of a sample. */
  bits: number;
  /** Samples of each channel; 0: unknown. */
  length: number;
}

export interface Frame {
  /** Where the frame begins, in bytes. */
  at: number;
  /** Its first sample, counted from the beginning of the song. */
  first: number;
  /** How many samples of each channel it has. */
  length: number;
  /** How its channels depend on each other, as the format numbers it. */
  mode: number;
  /** Where the header ends and the samples begin, in bytes. */
  data: number;
}

export const MARK_BYTES = 4;
export const BLOCK_HEAD_BYTES = 4;
const STREAMINFO_BYTES = 34;
/** What `infoOf` needs of a file's beginning. */
export const INFO_BYTES = MARK_BYTES + BLOCK_HEAD_BYTES + STREAMINFO_BYTES;
// A header, a subframe of one constant sample, and the checksum.
const LEAST_FRAME_BYTES = 10;

export function isFlac(bytes: Uint8Array): boolean {
  return String.fromCharCode(...bytes.subarray(0, MARK_BYTES)) === "fLaC";
}

/** Returns what the file says of itself in its first INFO_BYTES. */
export function infoOf(bytes: Uint8Array): FlacInfo | undefined {
  if (!isFlac(bytes) || bytes.length < INFO_BYTES || (bytes[MARK_BYTES]! & 0x7f) !== 0) return undefined;
  const info = bytes.slice(MARK_BYTES + BLOCK_HEAD_BYTES, INFO_BYTES);
  const view = new DataView(info.buffer);
  const block = view.getUint16(2);
  const channels = ((info[12]! >> 1) & 7) + 1;
  const bits = (((info[12]! & 1) << 4) | (info[13]! >> 4)) + 1;
  // A frame that is stored as it is may be larger than the file says of frames that were compressed.
  const frameBytes = Math.max(view.getUint32(6) & 0xffffff, Math.ceil((block * channels * (bits + 1)) / 8) + 256);
  const rate_hz = view.getUint32(10) >>> 12;
  return { block, frameBytes, rate_hz, channels, bits, length: (info[13]! & 15) * 2 ** 32 + view.getUint32(14) };
}

/** Returns the size of the metadata block at `at`, with its head, and whether the frames begin behind it. */
export function metadataBlock(bytes: Uint8Array, at: number): { bytes: number; isLast: boolean } {
  const size = (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!;
  return { bytes: BLOCK_HEAD_BYTES + size, isLast: (bytes[at]! & 0x80) !== 0 };
}

/** Returns the frame whose header is at `at`; undefined where there is none. */
export function frameAt(bytes: Uint8Array, at: number, info: FlacInfo): Frame | undefined {
  // Bytes behind the data are undefined here, which no header has.
  if (bytes[at] !== 0xff || (bytes[at + 1]! & 0xfe) !== 0xf8) return undefined;
  const [sizeCode, rateCode] = [bytes[at + 2]! >> 4, bytes[at + 2]! & 15];
  if (sizeCode === 0 || rateCode === 15 || bytes[at + 3]! >> 4 > 10 || bytes[at + 3]! & 1) return undefined;
  const coded = codedNumber(bytes, at + 4);
  if (!coded) return undefined;
  let end = coded.end;
  let length = sizeCode === 1 ? 192 : sizeCode < 6 ? 576 << (sizeCode - 2) : 256 << (sizeCode - 8);
  if (sizeCode === 6) length = bytes[end++]! + 1;
  if (sizeCode === 7) {
    length = ((bytes[end]! << 8) | bytes[end + 1]!) + 1;
    end += 2;
  }
  if (rateCode === 12) end += 1;
  if (rateCode === 13 || rateCode === 14) end += 2;
  if (crc8(bytes.subarray(at, end)) !== bytes[end]) return undefined;
  const isVariable = (bytes[at + 1]! & 1) === 1;
  const first = isVariable ? coded.number : coded.number * info.block;
  return { at, first, length, mode: bytes[at + 3]! >> 4, data: end + 1 };
}

/** Returns the first whole frame at or behind `from`. `isAtEnd` says that the file ends with the data. */
export function firstFrame(bytes: Uint8Array, from: number, info: FlacInfo, isAtEnd: boolean): Frame | undefined {
  for (let at = bytes.indexOf(0xff, from); at >= 0; at = bytes.indexOf(0xff, at + 1)) {
    const frame = frameAt(bytes, at, info);
    // Other data look like a header now and then, but not like a header with the right frame behind it.
    if (frame && endOf(bytes, frame, info, isAtEnd) !== undefined) return frame;
  }
  return undefined;
}

/** Returns where the frame ends; undefined where it does not end within the data. */
export function endOf(bytes: Uint8Array, frame: Frame, info: FlacInfo, isAtEnd: boolean): number | undefined {
  const last = frame.at + info.frameBytes;
  let at = bytes.indexOf(0xff, frame.at + LEAST_FRAME_BYTES);
  for (; at >= 0 && at <= last; at = bytes.indexOf(0xff, at + 1))
    if (frameAt(bytes, at, info)?.first === frame.first + frame.length && isWhole(bytes, frame.at, at)) return at;
  return isAtEnd && bytes.length <= last && isWhole(bytes, frame.at, bytes.length) ? bytes.length : undefined;
}

/** Whether the last two bytes are the checksum of the others. */
function isWhole(bytes: Uint8Array, from: number, to: number): boolean {
  return crc16(bytes.subarray(from, to - 2)) === ((bytes[to - 2]! << 8) | bytes[to - 1]!);
}

/** Reads a number in the way of UTF-8, with up to 36 bits. */
function codedNumber(bytes: Uint8Array, at: number): { number: number; end: number } | undefined {
  const head = bytes[at]!;
  if (head < 0x80) return { number: head, end: at + 1 };
  const more = Math.clz32(~(head << 24)) - 1;
  if (more < 1 || more > 6) return undefined;
  let number = head & (0x3f >> more);
  for (let place = 1; place <= more; place++) {
    const next = bytes[at + place]!;
    if ((next & 0xc0) !== 0x80) return undefined;
    number = number * 64 + (next & 0x3f);
  }
  return { number, end: at + 1 + more };
}

const CRC8 = Uint8Array.from({ length: 256 }, (_, start) => {
  let crc = start;
  for (let bit = 0; bit < 8; bit++) crc = ((crc << 1) ^ (crc & 0x80 ? 7 : 0)) & 0xff;
  return crc;
});

const CRC16 = Uint16Array.from({ length: 256 }, (_, start) => {
  let crc = start << 8;
  for (let bit = 0; bit < 8; bit++) crc = ((crc << 1) ^ (crc & 0x8000 ? 0x8005 : 0)) & 0xffff;
  return crc;
});

export function crc16(bytes: Uint8Array): number {
  let crc = 0;
  for (const byte of bytes) crc = ((crc << 8) & 0xff00) ^ CRC16[(crc >> 8) ^ byte]!;
  return crc;
}

export function crc8(bytes: Uint8Array): number {
  let crc = 0;
  for (const byte of bytes) crc = CRC8[crc ^ byte]!;
  return crc;
}
