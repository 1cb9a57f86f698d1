import { useEffect, useRef, useState } from "preact/hooks";

import * as api from "./api";
import { FINAL, moment, songName } from "./format";
import { useSpeech } from "./texts";
import { wordsOf } from "./words";

const ACTIVE_MS = 2000;
const IDLE_MS = 15000;

interface Props { session: api.Session; submitted: number; isSeen: boolean }

/** Puts the newer tasks into the list, which stays ordered by the time of submission, the newest first. */
function merged(known: api.Task[], fresh: api.Task[]): api.Task[] {
  const byId = new Map(known.map((task) => [task.task_uuid, task]));
  for (const task of fresh) byId.set(task.task_uuid, task);
  return [...byId.values()].sort((a, b) => b.submitted_at - a.submitted_at);
}

export function Songs({ session, submitted, isSeen }: Props) {
  const { t } = useSpeech();
  const [list, setList] = useState<api.Task[]>();
  const [next, setNext] = useState<string>();
  const [problem, setProblem] = useState("");
  const isFirst = useRef(true);

  // The newest page comes again and again while the list is seen, more often while something moves.
  useEffect(() => {
    if (!isSeen) return;
    let timer = 0;
    let isOver = false;
    const look = async () => {
      clearTimeout(timer);
      let wait = IDLE_MS;
      if (!document.hidden) {
        try {
          const page = await api.tasks();
          if (isOver) return;
          setProblem("");
          setList((known) => merged(known ?? [], page.tasks));
          if (isFirst.current) setNext(page.next);
          isFirst.current = false;
          if (page.tasks.some((task) => !FINAL.has(task.state))) wait = ACTIVE_MS;
        } catch (error) {
          if (isOver) return;
          setProblem(wordsOf(error, t));
          wait = ACTIVE_MS;
        }
      }
      if (!isOver) timer = setTimeout(look, wait);
    };
    const shown = () => void (document.hidden || look());
    document.addEventListener("visibilitychange", shown);
    void look();
    return () => {
      isOver = true;
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", shown);
    };
  }, [isSeen, submitted]);

  const older = async () => {
    if (!next) return;
    try {
      const page = await api.tasks(next);
      setList((known) => merged(known ?? [], page.tasks));
      setNext(page.next);
    } catch (error) {
      setProblem(wordsOf(error, t));
    }
  };

  return (
    <section aria-labelledby="songs">
      <h2 id="songs">{t(session.is_admin ? "allSongs" : "songs")}</h2>
      {problem && <p class="notice" role="status">{problem}</p>}
      {!list && !problem && <p role="status">{t("loading")}</p>}
      {list?.length === 0 && <p class="empty">{t("noSongs")}</p>}
      <ul class="songs">
        {list?.map((task) => <Song key={task.task_uuid} task={task} withUser={session.is_admin} />)}
      </ul>
      {next && <Older key={next} show={older} />}
    </section>
  );
}

function Song({ task, withUser }: { task: api.Task; withUser: boolean }) {
  const { t, language } = useSpeech();
  const isActive = !FINAL.has(task.state);
  const state = task.deleted_at ? t("deleted") : t(`state_${task.state}`);
  return (
    <li>
      <a href={`#/tasks/${task.task_uuid}`}>{songName(task)}</a>
      <span class={`state ${task.state}`}>{state}</span>
      <span class="when">
        {moment(task.submitted_at, language)}
        {withUser && ` · ${task.user}`}
      </span>
      {isActive && <progress aria-label={t("progress")} max={1} value={task.progress ?? 0} />}
    </li>
  );
}

/** A button that acts by itself once it comes into sight. */
function Older({ show }: { show: () => void }) {
  const { t } = useSpeech();
  const button = useRef<HTMLButtonElement>(null);
  useEffect(() => {
    const seen = new IntersectionObserver((entries) => {
      if (entries.some((entry) => entry.isIntersecting)) show();
    }, { rootMargin: "400px" });
    seen.observe(button.current!);
    return () => seen.disconnect();
  }, []);
  return <button ref={button} class="older" type="button" onClick={show}>{t("older")}</button>;
}
