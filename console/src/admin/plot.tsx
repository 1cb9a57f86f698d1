import { useEffect, useId, useRef, useState } from "preact/hooks";

import { useSpeech } from "../texts";
import { hour, number } from "./format";
import { scaleOf, type Series } from "./plot_data";

const HOUR_S = 3600;
const HEIGHT = 220;
const LEFT = 36;
const BOTTOM = 24;
const TOP = 8;
const LABEL_PX = 56;

interface Props { title: string; begins: number[]; series: Series[] }

/** Stacked bars by hour, with the same numbers as a table. */
export function HoursPlot({ title, begins, series }: Props) {
  const { t, language } = useSpeech();
  const id = useId();
  const totals = begins.map((_, place) => series.reduce((sum, one) => sum + (one.counts[place] ?? 0), 0));
  const summary = series
    .map((one) => `${one.name}: ${number(one.counts.reduce((a, b) => a + b, 0), language)}`)
    .join(", ");
  const from = hour(begins[0] ?? 0, language);
  const to = hour((begins.at(-1) ?? 0) + HOUR_S, language);
  return (
    <figure class="plot card">
      <figcaption id={id}>{title}</figcaption>
      <ul class="legend">
        {series.map((one) => <li key={one.name}><span class={`swatch ${one.tint}`} />{one.name}</li>)}
      </ul>
      <Bars labelledBy={id} description={`${t("hourOf", { from, to })}. ${summary}`} begins={begins} series={series} totals={totals} />
      <details>
        <summary>{t("asTable")}</summary>
        <div class="scroll" tabIndex={0} role="group" aria-labelledby={id}>
          <table>
            <thead>
              <tr>
                <th scope="col">{t("hour")}</th>
                {series.map((one) => <th key={one.name} class="number" scope="col">{one.name}</th>)}
                <th class="number" scope="col">{t("total")}</th>
              </tr>
            </thead>
            <tbody>
              {begins.map((begin, place) => (
                <tr key={begin}>
                  <th scope="row">{hour(begin, language)}</th>
                  {series.map((one) => <td key={one.name} class="number">{number(one.counts[place] ?? 0, language)}</td>)}
                  <td class="number">{number(totals[place] ?? 0, language)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      </details>
    </figure>
  );
}

interface BarsProps { labelledBy: string; description: string; begins: number[]; series: Series[]; totals: number[] }

function Bars({ labelledBy, description, begins, series, totals }: BarsProps) {
  const { language } = useSpeech();
  const box = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(600);
  useEffect(() => {
    const watched = new ResizeObserver(([entry]) => entry && setWidth(entry.contentRect.width));
    watched.observe(box.current!);
    return () => watched.disconnect();
  }, []);

  const [top, step] = scaleOf(Math.max(...totals));
  const inner = HEIGHT - TOP - BOTTOM;
  const y = (count: number) => TOP + inner * (1 - count / top);
  // A page that is not seen has no width.
  const slot = Math.max(0, width - LEFT) / begins.length;
  const every = [1, 2, 3, 4, 6, 8, 12, 24].find((count) => count * slot >= LABEL_PX) ?? 24;
  const lines = Array.from({ length: Math.round(top / step) + 1 }, (_, place) => place * step);
  return (
    <div ref={box} class="bars">
      <svg role="img" aria-labelledby={labelledBy} width={width} height={HEIGHT} viewBox={`0 0 ${width} ${HEIGHT}`}>
        <desc>{description}</desc>
        {lines.map((count) => (
          <g key={count}>
            <line class="grid" x1={LEFT} x2={width} y1={y(count)} y2={y(count)} />
            <text x={LEFT - 8} y={y(count) + 4} text-anchor="end">{number(count, language)}</text>
          </g>
        ))}
        {begins.map((begin, place) => {
          const x = LEFT + place * slot;
          let below = 0;
          return (
            <g key={begin}>
              {series.map((one) => {
                const count = one.counts[place] ?? 0;
                below += count;
                const height = Math.max(0, (inner * count) / top - 1);
                return count > 0 && (
                  <rect key={one.name} class={one.tint} x={x + slot * 0.15} width={slot * 0.7} y={y(below)} height={height}>
                    <title>{`${hour(begin, language)}, ${one.name}: ${number(count, language)}`}</title>
                  </rect>
                );
              })}
              {new Date(begin * 1000).getHours() % every === 0 && x + slot / 2 + LABEL_PX / 2 < width + 8 && (
                <text x={x + slot / 2} y={HEIGHT - 6} text-anchor="middle">{hour(begin, language)}</text>
              )}
            </g>
          );
        })}
      </svg>
    </div>
  );
}
