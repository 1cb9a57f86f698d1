import type { ComponentChildren } from "preact";

import type { State } from "../api";
import { duration, moment } from "../format";
import { useSpeech } from "../texts";
import { Heading, Instead } from "./admin";
import * as api from "./api";
import { number } from "./format";
import { HoursPlot } from "./plot";
import { useWatched } from "./watch";

const EVERY_MS = 5000;
const STATES: State[] = ["queued", "downloading", "preparing", "separating", "uploading", "delivering"];
const DEFAULT_PRIORITY = 3;

const ask = async () => {
  const [queue, workers] = await Promise.all([api.queue(), api.workers()]);
  return { queue, workers };
};

/** What waits and runs now, and how many tasks finish. */
export function QueuePage() {
  const { t, language } = useSpeech();
  const { found, problem } = useWatched(ask, EVERY_MS);
  return (
    <article>
      <Heading>{t("queue")}</Heading>
      <Instead isThere={found !== undefined} problem={problem} />
      {found && (
        <>
          <Tiles queue={found.queue} workers={found.workers} />
          <h2 id="by-state">{t("byState")}</h2>
          <ol class="course" aria-labelledby="by-state">
            {STATES.map((state) => (
              <li key={state} class={found.queue.states[state] ? "busy" : ""}>
                <span class="amount">{number(found.queue.states[state] ?? 0, language)}</span>
                <span>{t(`state_${state}`)}</span>
              </li>
            ))}
          </ol>
          <Hours hours={found.queue.hours} />
          <Lanes lanes={found.queue.lanes} now={found.queue.at} />
          <p class="hint">{t("upToDate", { time: moment(found.queue.at, language) })}</p>
        </>
      )}
    </article>
  );
}

function Tiles({ queue, workers }: { queue: api.Queue; workers: api.Worker[] }) {
  const { t, language } = useSpeech();
  const oldest = queue.oldest_waiting_at;
  const running = STATES.slice(1).reduce((sum, state) => sum + (queue.states[state] ?? 0), 0);
  const { succeeded, failed, cancelled } = queue.last_hour;
  return (
    <dl class="tiles">
      <Tile name={t("waiting")} amount={number(queue.waiting, language)}>
        {oldest === undefined
          ? t("nothingWaits")
          : t("oldestWaits", { time: duration(Math.max(0, queue.at - oldest), language) })}
      </Tile>
      <Tile name={t("running")} amount={number(running, language)}>
        {t("ofWorkers", { workers: workers.length, slots: workers.reduce((sum, one) => sum + one.slots, 0) })}
      </Tile>
      <Tile name={t("retrying")} amount={number(queue.retrying, language)}>{t("retryingHint")}</Tile>
      <Tile name={t("lastHour")} amount={number(succeeded + failed + cancelled, language)} isBad={failed > 0}>
        {t("failedOf", { failed: number(failed, language), cancelled: number(cancelled, language) })}
      </Tile>
    </dl>
  );
}

interface TileProps { name: string; amount: string; isBad?: boolean; children: ComponentChildren }

function Tile({ name, amount, isBad, children }: TileProps) {
  return (
    <div class="card tile">
      <dt>{name}</dt>
      <dd class="amount">{amount}</dd>
      <dd class={isBad ? "problem" : "hint"}>{children}</dd>
    </div>
  );
}

function Hours({ hours }: { hours: api.Queue["hours"] }) {
  const { t } = useSpeech();
  const ends = ["succeeded", "failed", "cancelled"] as const;
  const any = hours.some(({ finished }) => ends.some((end) => finished[end] > 0));
  return (
    <section aria-labelledby="by-hour">
      <h2 id="by-hour">{t("finished")}</h2>
      {any ? (
        <HoursPlot
          title={t("finishedByHour")}
          begins={hours.map((one) => one.since)}
          series={ends.map((end) => ({
            name: t(`state_${end}`),
            tint: `tint-${end}`,
            counts: hours.map((one) => one.finished[end]),
          }))}
        />
      ) : (
        <p>{t("noneFinished")}</p>
      )}
    </section>
  );
}

function Lanes({ lanes, now }: { lanes: api.Lane[]; now: number }) {
  const { t, language } = useSpeech();
  return (
    <section aria-labelledby="by-lane">
      <h2 id="by-lane">{t("byLane")}</h2>
      <div class="card scroll" tabIndex={0} role="group" aria-labelledby="by-lane">
        <table class="wide">
          <thead>
            <tr>
              <th scope="col">{t("priority")}</th>
              <th scope="col" class="number">{t("waiting")}</th>
              <th scope="col" class="number">{t("running")}</th>
              <th scope="col" class="number">{t("oldest")}</th>
            </tr>
          </thead>
          <tbody>
            {lanes.map((lane) => (
              <tr key={lane.priority}>
                <th scope="row">
                  {lane.priority === DEFAULT_PRIORITY
                    ? t("priorityDefault", { priority: lane.priority })
                    : lane.priority}
                </th>
                <td class="number">{number(lane.waiting, language)}</td>
                <td class="number">{number(lane.running, language)}</td>
                <td class="number">
                  {lane.oldest_waiting_at === undefined
                    ? "–"
                    : duration(Math.max(0, now - lane.oldest_waiting_at), language)}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}
