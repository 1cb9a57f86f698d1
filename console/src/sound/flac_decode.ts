/** Decodes frames of FLAC data (RFC 9639) of up to 24 bits. All numbers stay exact, as doubles. */
import type { FlacInfo, Frame } from "./flac_frames.ts";

export const MOST_BITS = 24;

// How the two channels of a frame depend on each other. Below, they do not; above, they are sum and difference.
const LEFT_SIDE = 8;
const SIDE_RIGHT = 9;

// The predictors that have a number in place of coefficients.
const FIXED = [[], [1], [2, -1], [3, -3, 1], [4, -6, 4, -1]];

/** Reads bits of a piece of data, the highest one first. Behind the data are zeros. */
class Bits {
  private bytes: Uint8Array;
  /** In bits. */
  private at = 0;

  constructor(bytes: Uint8Array, byte: number) {
    [this.bytes, this.at] = [bytes, 8 * byte];
  }

  /** Reads a number of up to 32 bits. */
  number(count: number): number {
    if (count > 24) return this.number(count - 16) * 65536 + this.number(16);
    if (count === 0) return 0;
    const value = this.ahead() >>> (32 - count);
    this.at += count;
    return value;
  }

  signed(count: number): number {
    const value = this.number(count);
    return count > 0 && value >= 2 ** (count - 1) ? value - 2 ** count : value;
  }

  /** Counts zeros up to the next one, which is read too. */
  zeros(): number {
    for (let count = 0; this.at < 8 * this.bytes.length; ) {
      const zeros = Math.clz32(this.ahead());
      // Only so many bits are sure to be of the data.
      if (zeros < 24) {
        this.at += zeros + 1;
        return count + zeros;
      }
      count += 24;
      this.at += 24;
    }
    return 0;
  }

  /** Returns the next bits from the top of 32 on, of which at least 25 are there. */
  private ahead(): number {
    const { bytes } = this;
    const byte = this.at >> 3;
    const word = (bytes[byte]! << 24) | (bytes[byte + 1]! << 16) | (bytes[byte + 2]! << 8) | bytes[byte + 3]!;
    return word << (this.at & 7);
  }
}

/** Decodes frame after frame, and needs no new memory for it. */
export class FrameDecoder {
  /** The samples of the frame that was decoded last, of each channel: whole numbers. */
  readonly samples: Float64Array[];
  private info: FlacInfo;
  private coefficients = new Float64Array(32);

  constructor(info: FlacInfo) {
    this.info = info;
    this.samples = Array.from({ length: info.channels }, () => new Float64Array(info.block));
  }

  /** `frame` is whole. Returns whether it could be decoded. */
  decode(bytes: Uint8Array, frame: Frame): boolean {
    if (frame.length > this.info.block) return false;
    const bits = new Bits(bytes, frame.data);
    const { mode, length } = frame;
    for (const [channel, samples] of this.samples.entries()) {
      const isSide = mode === SIDE_RIGHT ? channel === 0 : mode >= LEFT_SIDE && channel === 1;
      if (!this.subframe(bits, samples, length, this.info.bits + (isSide ? 1 : 0))) return false;
    }
    if (mode >= LEFT_SIDE) untangle(mode, this.samples[0]!, this.samples[1]!, length);
    return true;
  }

  private subframe(bits: Bits, samples: Float64Array, length: number, allBits: number): boolean {
    const kind = bits.number(7);
    const wasted = bits.number(1) ? bits.zeros() + 1 : 0;
    const size = allBits - wasted;
    if (kind === 0) samples.fill(bits.signed(size), 0, length);
    else if (kind === 1) for (let n = 0; n < length; n++) samples[n] = bits.signed(size);
    else if (!this.predicted(bits, samples, length, size, kind)) return false;
    if (wasted) for (let n = 0; n < length; n++) samples[n]! *= 2 ** wasted;
    return true;
  }

  /** Reads the first samples, and how the others differ from what those before them let expect. */
  private predicted(bits: Bits, samples: Float64Array, length: number, size: number, kind: number): boolean {
    const isFixed = kind >= 8 && kind <= 12;
    if (!isFixed && kind < 32) return false;
    const order = isFixed ? kind - 8 : kind - 31;
    if (order > length) return false;
    for (let n = 0; n < order; n++) samples[n] = bits.signed(size);
    let shift = 0;
    if (isFixed) this.coefficients.set(FIXED[order]!);
    else {
      const precision = bits.number(4) + 1;
      shift = bits.signed(5);
      if (precision === 16 || shift < 0) return false;
      for (let n = 0; n < order; n++) this.coefficients[n] = bits.signed(precision);
    }
    if (!readResidual(bits, samples, length, order)) return false;
    addPrediction(samples, length, this.coefficients.subarray(0, order), 2 ** -shift);
    return true;
  }
}

/** Writes the residual where its samples will be. */
function readResidual(bits: Bits, samples: Float64Array, length: number, order: number): boolean {
  const method = bits.number(2);
  if (method > 1) return false;
  const parameterBits = 4 + method;
  const parts = 2 ** bits.number(4);
  if (length % parts !== 0 || length / parts < order) return false;
  let n = order;
  for (let part = 1; part <= parts; part++) {
    const end = (length / parts) * part;
    const parameter = bits.number(parameterBits);
    if (parameter === 2 ** parameterBits - 1) {
      const size = bits.number(5);
      for (; n < end; n++) samples[n] = bits.signed(size);
    } else {
      const unit = 2 ** parameter;
      for (; n < end; n++) {
        const folded = bits.zeros() * unit + bits.number(parameter);
        samples[n] = folded % 2 ? -(folded + 1) / 2 : folded / 2;
      }
    }
  }
  return true;
}

function addPrediction(samples: Float64Array, length: number, factors: Float64Array, scale: number): void {
  const order = factors.length;
  for (let n = order; n < length; n++) {
    let sum = 0;
    for (let k = 0; k < order; k++) sum += factors[k]! * samples[n - 1 - k]!;
    samples[n]! += Math.floor(sum * scale);
  }
}

/** Makes left and right of two channels of which one is the difference of both. */
function untangle(mode: number, first: Float64Array, second: Float64Array, length: number): void {
  for (let n = 0; n < length; n++) {
    const a = first[n]!;
    const b = second[n]!;
    if (mode === LEFT_SIDE) second[n] = a - b;
    else if (mode === SIDE_RIGHT) first[n] = a + b;
    else {
      const sum = 2 * a + (b & 1);
      first[n] = (sum + b) / 2;
      second[n] = (sum - b) / 2;
    }
  }
}
