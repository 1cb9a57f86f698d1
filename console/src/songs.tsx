import type { ComponentChildren } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";

import * as api from "./api";
import { Filters } from "./filters";
import { FINAL, moment, percent, songName } from "./format";
import {
  addressOf, isFiltered, NO_FILTER, rowsInSight, withChanged, withNewest, withOlder, type Filter, type Rows,
} from "./list";
import { keepLooking } from "./looking";
import type { Loaded } from "./pages";
import { useSpeech } from "./texts";
import { wordsOf } from "./words";

const ACTIVE_MS = 2000;
const IDLE_MS = 15000;
const NEWEST = 30;
const OLDER = 200;
// The next page is asked for while so many rows are still below the window.
const AHEAD_ROWS = 60;

interface Props { session: api.Session; submitted: number; isSeen: boolean; welcome: ComponentChildren }

/** The tasks that were loaded, and how more are. The newest page comes again and again while the list is seen. */
function useLoaded(filter: Filter, isSeen: boolean, submitted: number) {
  const { t } = useSpeech();
  const [loaded, setLoaded] = useState<Loaded<api.Task>>();
  const [problem, setProblem] = useState("");
  const rows = useRef<Rows>({ first: 0, end: 0 });
  const known = useRef<Loaded<api.Task> | undefined>(undefined);
  const asked = useRef("");
  const loading = useRef("");
  const isMissed = useRef(false);
  known.current = loaded;

  useEffect(() => {
    if (!isSeen) return;
    const address = addressOf(filter, NEWEST);
    const look = async (isOver: () => boolean) => {
      try {
        const [page, changed] = await Promise.all([api.tasks(address), movingRows(known.current, rows.current)]);
        if (isOver()) return IDLE_MS;
        setProblem("");
        setLoaded((now) => withNewest(asked.current === address ? now && withChanged(now, changed) : undefined, page));
        asked.current = address;
        if (isMissed.current) void older();
        return [...page.rows, ...changed].some((task) => !FINAL.has(task.state)) ? ACTIVE_MS : IDLE_MS;
      } catch (error) {
        if (!isOver()) setProblem(wordsOf(error, t));
        return ACTIVE_MS;
      }
    };
    return keepLooking(look, IDLE_MS);
  }, [isSeen, submitted, filter]);

  const older = async () => {
    const next = known.current?.next;
    if (!next || loading.current === next) return;
    loading.current = next;
    isMissed.current = false;
    try {
      const page = await api.tasks(next.replace(/limit=\d+/, `limit=${OLDER}`));
      setLoaded((now) => (now?.next === next ? withOlder(now, page) : now));
    } catch (error) {
      isMissed.current = true;
      setProblem(wordsOf(error, t));
    }
    loading.current = "";
  };
  return { loaded, problem, older, rows };
}

/** Returns the newer words of tasks in sight that are beyond the newest page and not over. */
async function movingRows(known: Loaded<api.Task> | undefined, { first, end }: Rows): Promise<api.Task[]> {
  const moving = known?.rows.slice(Math.max(first, NEWEST), end).filter((task) => !FINAL.has(task.state)) ?? [];
  return Promise.all(moving.map((task) => api.task(task.task_uuid)));
}

export function Songs({ session, submitted, isSeen, welcome }: Props) {
  const { t } = useSpeech();
  const [filter, setFilter] = useState<Filter>(NO_FILTER);
  const { loaded, problem, older, rows } = useLoaded(filter, isSeen, submitted);
  const isEmpty = loaded?.rows.length === 0;
  if (isEmpty && !isFiltered(filter) && !problem) return <>{welcome}</>;
  return (
    <section class="card list" aria-labelledby="songs">
      <h2 id="songs">{t(session.is_admin ? "allSongs" : "songs")}</h2>
      <Filters filter={filter} change={setFilter} />
      {problem && <p class="notice" role="status">{problem}</p>}
      {!loaded && !problem && <p role="status">{t("loading")}</p>}
      {isEmpty && <p class="empty" role="status">{t("nothingFound")}</p>}
      {loaded && !isEmpty && (
        <Window loaded={loaded} older={older} rows={rows} isSeen={isSeen} withUser={session.is_admin} />
      )}
    </section>
  );
}

interface WindowProps {
  loaded: Loaded<api.Task>;
  older: () => void;
  rows: { current: Rows };
  isSeen: boolean;
  withUser: boolean;
}

/** Draws the rows in sight only: ten thousand would take the browser seconds. All rows have one height. */
function Window({ loaded, older, rows, isSeen, withUser }: WindowProps) {
  const list = useRef<HTMLUListElement>(null);
  const [sight, setSight] = useState<Rows>({ first: 0, end: NEWEST });
  const [focused, setFocused] = useState("");
  const count = loaded.rows.length;
  useLayoutEffect(() => {
    if (!isSeen) return;
    const measure = () => {
      const row_px = parseFloat(getComputedStyle(list.current!).getPropertyValue("--row-px")) || 68;
      const top_px = -list.current!.getBoundingClientRect().top;
      const now = rowsInSight(top_px, innerHeight, row_px, count);
      rows.current = now;
      setSight((before) => (before.first === now.first && before.end === now.end ? before : now));
      if (count - now.end < AHEAD_ROWS) older();
    };
    measure();
    addEventListener("scroll", measure, { passive: true });
    addEventListener("resize", measure);
    return () => {
      removeEventListener("scroll", measure);
      removeEventListener("resize", measure);
    };
  }, [isSeen, count, loaded.next]);

  const { first, end } = sight;
  const drawn = loaded.rows.slice(first, end).map((task, place) => ({ task, place: first + place }));
  // The row with the focus stays, or the keyboard would lose its place.
  const held = focused ? loaded.rows.findIndex((task) => task.task_uuid === focused) : -1;
  if (held >= 0 && held < first) drawn.unshift({ task: loaded.rows[held]!, place: held });
  if (held >= end) drawn.push({ task: loaded.rows[held]!, place: held });
  return (
    <ul class="songs" ref={list} style={{ "--rows": count }} onFocusOut={() => setFocused("")}>
      {drawn.map(({ task, place }) => (
        <Song
          key={task.task_uuid}
          task={task}
          place={place}
          count={loaded.next ? -1 : count}
          withUser={withUser}
          focus={() => setFocused(task.task_uuid)}
        />
      ))}
    </ul>
  );
}

interface SongProps { task: api.Task; place: number; count: number; withUser: boolean; focus: () => void }

function Song({ task, place, count, withUser, focus }: SongProps) {
  const { t, language } = useSpeech();
  const isActive = !FINAL.has(task.state);
  const state = task.deleted_at ? t("deleted") : t(`state_${task.state}`);
  return (
    <li style={{ "--place": place }} aria-setsize={count} aria-posinset={place + 1}>
      <a href={`#/tasks/${task.task_uuid}`} onFocus={focus}>{songName(task)}</a>
      <span class={`state ${task.deleted_at ? "deleted" : task.state}`}>{state}</span>
      <span class="when">
        {moment(task.submitted_at, language)}
        {withUser && ` · ${task.user}`}
        {task.error_code && !task.deleted_at && ` · ${task.error_code}`}
      </span>
      {isActive && (
        <span class="going">
          <progress aria-label={t("progress")} max={1} value={task.progress ?? 0} />
          <span class="when" aria-hidden="true">{percent(task.progress ?? 0, language)}</span>
        </span>
      )}
    </li>
  );
}
