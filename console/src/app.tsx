import { useEffect, useLayoutEffect, useState } from "preact/hooks";

import { AdminPage, isAdminPlace } from "./admin/admin";
import * as api from "./api";
import { SignIn } from "./sign_in";
import { Songs } from "./songs";
import { Submit } from "./submit";
import { TaskPage } from "./task";
import { Welcome } from "./welcome";
import { firstLanguage, LANGUAGES, LanguageContext, remember, useSpeech, type Language } from "./texts";

const TASK = /^#\/tasks\/([0-9a-f-]{36})$/;
const AGAIN = /^#\/again\/([0-9a-f-]{36})$/;
const RETRY_MS = 3000;

/** Returns the part of the address behind `#`: the place within the page. */
function usePlace(): string {
  const [place, setPlace] = useState(location.hash);
  useEffect(() => {
    const moved = () => setPlace(location.hash);
    addEventListener("hashchange", moved);
    return () => removeEventListener("hashchange", moved);
  }, []);
  return place;
}

export function App() {
  const [language, setLanguage] = useState<Language>(firstLanguage);
  useLayoutEffect(() => {
    document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  }, [language]);
  const choose = (chosen: Language) => {
    remember(chosen);
    setLanguage(chosen);
  };
  return (
    <LanguageContext.Provider value={language}>
      <Console choose={choose} />
    </LanguageContext.Provider>
  );
}

function Console({ choose }: { choose: (language: Language) => void }) {
  const { t } = useSpeech();
  const [session, setSession] = useState<api.Session>();
  const [wasSignedOut, setWasSignedOut] = useState(false);
  const [isAway, setIsAway] = useState(false);

  useEffect(() => {
    let timer = 0;
    const ask = () => {
      clearTimeout(timer);
      return api.session().then(
        (found) => {
          setIsAway(false);
          setSession(found);
        },
        () => {
          setIsAway(true);
          timer = setTimeout(ask, RETRY_MS);
        },
      );
    };
    api.onSignedOut(() => {
      setWasSignedOut(true);
      setSession({ user: null, is_admin: false });
    });
    void ask();
    // Another tab may have signed in or out meanwhile.
    addEventListener("focus", ask);
    return () => {
      clearTimeout(timer);
      removeEventListener("focus", ask);
    };
  }, []);

  const signOut = async () => {
    try {
      await api.signOut();
    } catch {
      return setIsAway(true);
    }
    location.hash = "";
    setWasSignedOut(false);
    setSession({ user: null, is_admin: false });
  };

  return (
    <>
      <header class="top">
        <a class="brand" href="#/">{t("title")}</a>
        {session?.is_admin && <a class="to-admin" href="#/admin/queue">{t("administration")}</a>}
        <LanguageSwitch choose={choose} />
        {session?.user && (
          <>
            <span class="who">{t("signedInAs", { user: session.user })}</span>
            <button type="button" onClick={signOut}>{t("signOut")}</button>
          </>
        )}
      </header>
      <main>
        {isAway && <p class="notice" role="status">{t("noAnswer")}</p>}
        {!session ? (
          !isAway && <p role="status">{t("loading")}</p>
        ) : session.user ? (
          <SignedIn key={session.user} session={session} />
        ) : (
          <SignIn wasSignedOut={wasSignedOut} done={setSession} />
        )}
      </main>
    </>
  );
}

function SignedIn({ session }: { session: api.Session }) {
  const place = usePlace();
  const [submitted, setSubmitted] = useState(0);
  const task = TASK.exec(place)?.[1];
  const earlier = AGAIN.exec(place)?.[1];
  const [demos, setDemos] = useState(0);
  const isAdmin = session.is_admin && isAdminPlace(place);
  const isFirst = task === undefined && !isAdmin;
  // The first view stays while a task is looked at, so that songs on their way go on being sent.
  return (
    <>
      <div hidden={!isFirst}>
        <Submit
          submitted={() => setSubmitted((count) => count + 1)}
          earlier={earlier}
          demo={session.demo}
          demos={demos}
        />
        <Songs
          session={session}
          submitted={submitted}
          isSeen={isFirst}
          welcome={<Welcome demo={session.demo} tryDemo={() => setDemos((count) => count + 1)} />}
        />
      </div>
      {task && <TaskPage key={task} id={task} />}
      {isAdmin && <AdminPage place={place} />}
    </>
  );
}

function LanguageSwitch({ choose }: { choose: (language: Language) => void }) {
  const { t, language } = useSpeech();
  return (
    <select
      class="language"
      aria-label={t("language")}
      value={language}
      onChange={(event) => choose(event.currentTarget.value as Language)}
    >
      {LANGUAGES.map(([code, name]) => <option key={code} value={code}>{name}</option>)}
    </select>
  );
}
