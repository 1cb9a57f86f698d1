import { duration } from "../format";
import { useSpeech } from "../texts";
import { Empty, Heading, Instead } from "./admin";
import * as api from "./api";
import { ago } from "./format";
import { useWatched } from "./watch";

const EVERY_MS = 3000;
const FEW_MODELS = 6;

/** The processors that are there, and what each does now. */
export function WorkersPage() {
  const { t } = useSpeech();
  const { found, problem } = useWatched(api.workers, EVERY_MS);
  return (
    <article>
      <Heading>{t("workers")}</Heading>
      <Instead isThere={found !== undefined} problem={problem} />
      {found?.length === 0 && <Empty title={t("noWorkers")} hint={t("noWorkersHint")} />}
      <ul class="workers">
        {found?.map((worker) => <li key={worker.worker_id} class="card"><WorkerCard worker={worker} /></li>)}
      </ul>
    </article>
  );
}

function WorkerCard({ worker }: { worker: api.Worker }) {
  const { t, language } = useSpeech();
  const tasks = worker.tasks ?? [];
  // `worker.running` is from the last announcement, up to a minute ago. Downloads have places of their own.
  const busy = Math.min(worker.slots, tasks.filter((task) => task.state !== "downloading").length);
  return (
    <>
      <div class="worker-head">
        <h2>{worker.worker_id}</h2>
        <span class="chip">{worker.device}</span>
        <span class="hint">
          {t("versionOf", { version: worker.version })} · {t("announced", { time: ago(Date.now() / 1000 - worker.at, language) })}
        </span>
      </div>
      <div class="slots">
        <span class="dots" aria-hidden="true">
          {Array.from({ length: worker.slots }, (_, place) => <i key={place} class={place < busy ? "busy" : ""} />)}
        </span>
        <span>{t("slotsBusy", { busy, slots: worker.slots })}</span>
      </div>
      <h3>{t("worksOn")}</h3>
      {tasks.length === 0 && <p class="hint">{t("idle")}</p>}
      <ul class="at-work">
        {tasks.map((task) => <Work key={task.task_uuid} task={task} />)}
      </ul>
      <Models worker={worker} />
    </>
  );
}

function Work({ task }: { task: api.WorkersTask }) {
  const { t, language } = useSpeech();
  const name = task.name?.split("/").pop() || task.task_uuid;
  return (
    <li>
      <a href={`#/tasks/${task.task_uuid}`}>{name}</a>
      <span class={`state ${task.state}`}>{t(`state_${task.state}`)}</span>
      <span class="when">
        {task.user} · {t("forTime", { time: duration(Math.max(0, Date.now() / 1000 - task.since), language) })}
      </span>
      <progress aria-label={`${t("progress")}: ${name}`} max={1} value={task.progress ?? 0} />
    </li>
  );
}

function Models({ worker }: { worker: api.Worker }) {
  const { t } = useSpeech();
  const warm = new Set(worker.warm_models);
  const sorted = [...worker.models].sort((a, b) => Number(warm.has(b)) - Number(warm.has(a)));
  const list = (names: string[]) => (
    <ul class="models">
      {names.map((name) => (
        <li key={name} class={warm.has(name) ? "chip warm" : "chip"}>
          {name}
          {name === worker.default_model && <span class="note"> · {t("modelDefault")}</span>}
          {warm.has(name) && <span class="note"> · {t("warm")}</span>}
        </li>
      ))}
    </ul>
  );
  if (sorted.length <= FEW_MODELS) {
    return <><h3>{t("modelsOf", { count: sorted.length })}</h3>{list(sorted)}</>;
  }
  return (
    <details>
      <summary>{t("modelsOf", { count: sorted.length })}</summary>
      {list(sorted)}
    </details>
  );
}
