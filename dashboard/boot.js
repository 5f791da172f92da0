// The chosen colours before the first paint, the viewer's language with its words, then the page. A file of its own,
// for the content security policy allows no inline script.
{
  const script = new URL(document.currentScript.src).pathname;
  const kept = (name) => {
    try {
      return localStorage.getItem(`clickwire.${name}`) ?? "";
    } catch {
      // A browser that refuses storage shows the system's colours, in its own language.
      return "";
    }
  };
  const theme = kept("theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;

  // Words by language. English is the program's own; a language whose words don't come is English, too.
  const files = {words};
  const base = (tag) => tag.toLowerCase().split("-")[0];
  const speak = (language, words) => {
    const locale = navigator.languages.find((tag) => base(tag) === language) ?? language;
    globalThis.clickwire = { languages: Object.keys(files), language, locale, words };
  };
  const wanted = [kept("language"), ...navigator.languages].map(base);
  const language = wanted.find((language) => language === "en" || Object.hasOwn(files, language)) ?? "en";
  let known = {};
  speak("en", "");
  const learn = async () => {
    const response = await fetch(files[language], { signal: AbortSignal.timeout(10_000) });
    if (!response.ok) throw new Error(`${response.url}: ${response.status}`);
    const words = await response.text();
    known = JSON.parse(words);
    speak(language, words);
  };
  const learned = language === "en" ? null : learn().catch(console.warn);

  // Keeps this program for times without a network. A browser that has no workers, or none for this page, goes
  // without: it is no part of the page.
  const keep = async () => {
    const { serviceWorker } = navigator;
    if (!serviceWorker) return;
    await serviceWorker.register("/sw.js");
    const { active } = await serviceWorker.ready;
    const program = ["/{app.js}", "/{app.wasm}", "/{app.css}", "/{favicon.svg}", script];
    const [, name] = /^\/([a-z]+)-/.exec(program[0]);
    const all = language === "en" ? program : [...program, files[language]];
    active.postMessage({ page: { program: name, index: location.pathname, script, files: all } });
  };

  const parsed = new Promise((resolve) => document.addEventListener("DOMContentLoaded", resolve));
  Promise.all([import("/{app.js}"), parsed, learned])
    .then(([app]) => app.default({ module_or_path: "/{app.wasm}" }))
    .then(() => keep().catch(() => {}))
    .catch(async (error) => {
      console.error(error);
      await parsed;
      const splash = document.querySelector("#app .splash");
      const text = "The page could not be loaded. Please reload it, or use a current browser.";
      if (splash) splash.textContent = known[text] ?? text;
    });
}
