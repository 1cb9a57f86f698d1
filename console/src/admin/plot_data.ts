/** What a plot shows, without drawing it. */
import type { Failures } from "./api";

const MOST_SERIES = 6;

/** `tint` is the name of a color in admin.css. */
export interface Series { name: string; tint: string; counts: number[] }

/** Returns the top of a scale that reaches `most`, and the step between the lines of its grid, of at most five. */
export function scaleOf(most: number): [number, number] {
  const size = 10 ** Math.floor(Math.log10(Math.max(most, 4) / 4));
  const step = [1, 2, 5, 10].map((factor) => factor * size).find((one) => one * 4 >= most) ?? 10 * size;
  return [Math.max(step, Math.ceil(most / step) * step), step];
}

/** Each of the most frequent codes has a color of its own, and the others share one. */
export const tintOf = (place: number) => (place < MOST_SERIES ? `tint-${place}` : "tint-others");

/** Returns a series for each of the most frequent codes, and one with the sum of the others if there are others. */
export function seriesOf(failures: Failures, others: string): Series[] {
  const shown = failures.codes.slice(0, MOST_SERIES).map((one) => one.error_code);
  const series = shown.map((code, place) => ({
    name: code,
    tint: tintOf(place),
    counts: failures.hours.map((one) => one.codes[code] ?? 0),
  }));
  if (failures.codes.length <= MOST_SERIES) return series;
  const rest = failures.hours.map((one) =>
    Object.entries(one.codes).reduce((sum, [code, count]) => (shown.includes(code) ? sum : sum + count), 0),
  );
  return [...series, { name: others, tint: tintOf(MOST_SERIES), counts: rest }];
}
