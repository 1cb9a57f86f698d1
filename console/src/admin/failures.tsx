import { moment } from "../format";
import { useSpeech } from "../texts";
import { Empty, Heading, Instead } from "./admin";
import * as api from "./api";
import { number, percent } from "./format";
import { HoursPlot, type Series } from "./plot";
import { useWatched } from "./watch";

const EVERY_MS = 10000;
const MOST_SERIES = 6;

/** The most frequent codes have a color each, and the others share one. */
export function seriesOf(failures: api.Failures, others: string): Series[] {
  const shown = failures.codes.slice(0, MOST_SERIES).map((one) => one.error_code);
  const series = shown.map((code, place) => ({
    name: code,
    tint: `tint-${place}`,
    counts: failures.hours.map((one) => one.codes[code] ?? 0),
  }));
  if (failures.codes.length <= MOST_SERIES) return series;
  const rest = failures.hours.map((one) =>
    Object.entries(one.codes).reduce((sum, [code, count]) => (shown.includes(code) ? sum : sum + count), 0),
  );
  return [...series, { name: others, tint: "tint-others", counts: rest }];
}

/** What failed in the last 24 hours, by error code. */
export function FailuresPage() {
  const { t } = useSpeech();
  const { found, problem } = useWatched(api.failures, EVERY_MS);
  return (
    <article>
      <Heading>{t("failures")}</Heading>
      <p class="hint">{t("failuresHint")}</p>
      <Instead isThere={found !== undefined} problem={problem} />
      {found?.codes.length === 0 && <Empty title={t("noFailures")} />}
      {found && found.codes.length > 0 && (
        <>
          <HoursPlot
            title={t("failuresByHour")}
            begins={found.hours.map((one) => one.since)}
            series={seriesOf(found, t("otherCodes"))}
          />
          <Codes codes={found.codes} />
        </>
      )}
    </article>
  );
}

function Codes({ codes }: { codes: api.Failures["codes"] }) {
  const { t, language } = useSpeech();
  const total = codes.reduce((sum, one) => sum + one.count, 0);
  return (
    <section aria-labelledby="codes">
      <h2 id="codes">{t("errorCode")}</h2>
      <ul class="codes">
        {codes.map((one, place) => (
          <li key={one.error_code}>
            <span class="name">
              <span class={`swatch ${place < MOST_SERIES ? `tint-${place}` : "tint-others"}`} />
              <code>{one.error_code}</code>
            </span>
            <span class="amount">
              {number(one.count, language)} <span class="hint">{percent(one.count / total, language)}</span>
            </span>
            <svg class="share" aria-hidden="true" viewBox="0 0 100 4" preserveAspectRatio="none">
              <rect class="track" width="100" height="4" />
              <rect class={place < MOST_SERIES ? `tint-${place}` : "tint-others"} width={(100 * one.count) / total} height="4" />
            </svg>
            <span class="when">
              {t("lastTime")}: {moment(one.last_at, language)} ·{" "}
              <a href={`#/tasks/${one.last_task_uuid}`} aria-label={`${t("showTask")}: ${one.error_code}`}>{t("showTask")}</a>
            </span>
          </li>
        ))}
      </ul>
    </section>
  );
}
