// The chosen colours before the first paint, then the page. A file of its own, for the content
// security policy allows no inline script.
{
  const script = new URL(document.currentScript.src).pathname;
  // Keeps this program for times without a network. A browser that has no workers, or none for this page, goes
  // without: it is no part of the page.
  const keep = async () => {
    const { serviceWorker } = navigator;
    if (!serviceWorker) return;
    await serviceWorker.register("/sw.js");
    const { active } = await serviceWorker.ready;
    const files = ["/{app.js}", "/{app.wasm}", "/{app.css}", "/{favicon.svg}", script];
    const [, program] = /^\/([a-z]+)-/.exec(files[0]);
    active.postMessage({ page: { program, index: location.pathname, files } });
  };
  try {
    const theme = localStorage.getItem("clickwire.theme");
    if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  } catch {
    // A browser that refuses storage shows the system's colours.
  }
  const parsed = new Promise((resolve) => document.addEventListener("DOMContentLoaded", resolve));
  Promise.all([import("/{app.js}"), parsed])
    .then(([app]) => app.default({ module_or_path: "/{app.wasm}" }))
    .then(() => keep().catch(() => {}))
    .catch((error) => {
      console.error(error);
      parsed.then(() => {
        const splash = document.querySelector("#app .splash");
        if (splash) splash.textContent = "The page could not be loaded. Please reload it, or use a current browser.";
      });
    });
}
