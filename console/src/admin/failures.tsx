import { useSpeech } from "../texts";
import { Empty, Heading, Instead } from "./admin";
import * as api from "./api";
import { number, percent, shortMoment } from "./format";
import { HoursPlot } from "./plot";
import { seriesOf, tintOf } from "./plot_data";
import { useWatched } from "./watch";

const EVERY_MS = 10000;
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
      <h2 id="codes">{t("byCode")}</h2>
      <ul class="codes card">
        {codes.map((one, place) => (
          <li key={one.error_code}>
            <span class="name">
              <span class={`swatch ${tintOf(place)}`} />
              <code>{one.error_code}</code>
            </span>
            <span class="amount">
              {number(one.count, language)} <span class="hint">{percent(one.count / total, language)}</span>
            </span>
            <svg class="share" aria-hidden="true" viewBox="0 0 100 4" preserveAspectRatio="none">
              <rect class="track" width="100" height="4" />
              <rect class={tintOf(place)} width={(100 * one.count) / total} height="4" />
            </svg>
            <span class="when">
              {t("lastTime", { time: shortMoment(one.last_at, language) })} ·{" "}
              <a href={`#/tasks/${one.last_task_uuid}`} aria-label={`${t("showTask")}: ${one.error_code}`}>{t("showTask")}</a>
            </span>
          </li>
        ))}
      </ul>
    </section>
  );
}
