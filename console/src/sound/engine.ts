/** What the player needs of a way to play stems in step. Stems have the order of the player's tracks. */

export interface Loop { isOn: boolean; from_s: number; to_s: number }

export interface Engine {
  readonly position_s: number;
  /** Whether sound stands still until data have come. */
  readonly isWaiting: boolean;
  /** Whether the stem can no longer be played. */
  isBroken(stem: number): boolean;
  /** Where the stem's sound passes; undefined where it does not pass Web Audio, or before the first play. */
  gainOf(stem: number): GainNode | undefined;
  /** The largest differences between the places of two stems, in seconds: of all, and of those that sound now. */
  readonly spread_s: number;
  readonly heardSpread_s: number;
  play(): void;
  pause(): void;
  seek(position_s: number): void;
  /** 0 to 1. */
  setLevel(stem: number, level: number): void;
  /** Keeps the stems in step and their data near. Called many times a second while they play. */
  check(loop: Loop): void;
  close(): void;
}

/** Called after each change that people see. */
export type Changed = () => void;
