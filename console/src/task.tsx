import { useEffect, useRef, useState } from "preact/hooks";

import * as api from "./api";
import { Callback } from "./callback";
import { Course } from "./course";
import { Used } from "./details";
import { keepFollowing } from "./following";
import { Icon } from "./icons";
import { bytes, clock, duration, FINAL, moment, percent, songName } from "./format";
import { PlayerView } from "./player_view";
import { useSpeech } from "./texts";
import { wordsOf } from "./words";

const RETRY_MS = 2000;

/**
 * Returns the task, kept up to date while the page is seen, and what went wrong. `again` asks anew. A task that is over
 * changes no more, except that `isRemoving` says that its deletion is to come.
 */
function useTask(id: string) {
  const { t } = useSpeech();
  const [task, setTask] = useState<api.Task>();
  const [problem, setProblem] = useState("");
  const [round, setRound] = useState(0);
  const [isRemoving, setIsRemoving] = useState(false);
  useEffect(() => {
    const look = async (signal: AbortSignal) => {
      let isOver = false;
      const found = (seen: api.Task) => {
        isOver = isRemoving ? seen.deleted_at !== undefined : FINAL.has(seen.state);
        setProblem("");
        setTask(seen);
      };
      try {
        await api.follow(id, found, signal);
      } catch (error) {
        if (signal.aborted) return false;
        isOver = error instanceof api.ProblemError && [401, 404].includes(error.status);
        setProblem(isOver ? t("noSuchPage") : wordsOf(error, t));
      }
      return !isOver;
    };
    return keepFollowing(look, RETRY_MS);
  }, [id, round, isRemoving]);
  return { task, problem, again: () => setRound((count) => count + 1), isRemoving, setIsRemoving };
}

export function TaskPage({ id }: { id: string }) {
  const { t } = useSpeech();
  const { task, problem, ...asking } = useTask(id);
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => heading.current?.focus(), []);
  return (
    <article>
      <p class="back"><a href="#/">← {t("back")}</a></p>
      <h1 ref={heading} tabIndex={-1}>{task ? songName(task) : t("source")}</h1>
      {problem && <p class="problem" role="alert">{problem}</p>}
      {!task && !problem && <p role="status">{t("loading")}</p>}
      {task && (
        <>
          <Now task={task} />
          <Actions task={task} {...asking} />
          {task.result && !task.deleted_at && <Stems task={task} result={task.result} />}
          <div class="pair">
            <Course task={task} />
            <Used task={task} />
          </div>
          {task.hook_host && <Callback task={task} host={task.hook_host} />}
        </>
      )}
    </article>
  );
}

function Now({ task }: { task: api.Task }) {
  const { t, language } = useSpeech();
  const state = task.deleted_at ? t("deleted") : t(`state_${task.state}`);
  const place = task.queue_place;
  const eta = task.queue_eta_s;
  return (
    <div class="now">
      <p role="status"><span class={`state ${task.state}`}>{state}</span></p>
      {!FINAL.has(task.state) && (
        <div class="going">
          <progress aria-label={t("progress")} max={1} value={task.progress ?? 0} />
          <span class="when" aria-hidden="true">{percent(task.progress ?? 0, language)}</span>
        </div>
      )}
      {place !== undefined && (
        <p>
          {eta === undefined ? t("place", { place }) : t("placeEta", { place, time: duration(eta, language) })}
        </p>
      )}
      {task.next_try_at && <p>{t("nextTry", { time: moment(task.next_try_at, language) })}</p>}
      {task.error_code && (
        <p class="problem">
          <strong>{t("wentWrong")}: </strong>
          {task.error_message} <code>{task.error_code}</code>
        </p>
      )}
    </div>
  );
}

interface ActionsProps {
  task: api.Task;
  again: () => void;
  isRemoving: boolean;
  setIsRemoving: (isRemoving: boolean) => void;
}

function Actions({ task, again, isRemoving, setIsRemoving }: ActionsProps) {
  const { t } = useSpeech();
  const dialog = useRef<HTMLDialogElement>(null);
  const [problem, setProblem] = useState("");
  const isOver = FINAL.has(task.state);
  const isDeleted = task.deleted_at !== undefined;

  useEffect(() => setProblem(""), [isOver, isDeleted]);

  const act = async (ask: (id: string) => Promise<unknown>) => {
    setProblem("");
    try {
      await ask(task.task_uuid);
      return true;
    } catch (error) {
      setProblem(wordsOf(error, t, "noAnswerUnclear"));
      again();
      return false;
    }
  };
  const remove = async () => {
    dialog.current!.close();
    setIsRemoving(await act(api.remove));
  };

  return (
    <div class="actions">
      {!isDeleted && <a class="button" href={`#/again/${task.task_uuid}`}>{t("again")}</a>}
      {!isOver && <button type="button" onClick={() => act(api.cancel)}>{t("cancel")}</button>}
      {isOver && !isDeleted && !isRemoving && (
        <button class="danger" type="button" onClick={() => dialog.current!.showModal()}>{t("remove")}</button>
      )}
      {isRemoving && !isDeleted && <p role="status">{t("removing")}</p>}
      {problem && <p class="problem" role="alert">{problem}</p>}
      <dialog ref={dialog} aria-labelledby="ask-remove">
        <p id="ask-remove">{t("removeAsk")}</p>
        <div class="actions">
          <button type="button" onClick={() => dialog.current!.close()}>{t("keep")}</button>
          <button class="danger" type="button" onClick={remove}>{t("remove")}</button>
        </div>
      </dialog>
    </div>
  );
}

function Stems({ task, result }: { task: api.Task; result: api.Result }) {
  const { t, language } = useSpeech();
  const stems = Object.entries(result.stems);
  return (
    <section class="card" aria-labelledby="listen">
      <h2 id="listen">{t("listen")}</h2>
      <PlayerView id={task.task_uuid} stems={stems} />
      <h3>{t("stems")}</h3>
      <ul class="files">
        {stems.map(([name, stem]) => (
          <li key={name}>
            {/* The bucket is another host, for which browsers ignore `download`: its error page must not replace this one. */}
            <a class="button" href={stem.url} target="_blank" rel="noopener noreferrer" download>
              <Icon name="save" />
              {t("save", { stem: name })}
            </a>
            <span class="when">{bytes(stem.bytes, language)}, {clock(stem.duration_s)}</span>
          </li>
        ))}
        <li>
          <a class="button" href={api.archiveAddress(task.task_uuid)} target="_blank" rel="noopener" download>
            <Icon name="save" />
            {t("saveAll")}
          </a>
        </li>
      </ul>
      {result.expires_at && <p class="hint">{t("linksUntil", { time: moment(result.expires_at, language) })}</p>}
    </section>
  );
}
