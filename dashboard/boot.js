// The chosen colours before the first paint, then the page. A file of its own, for the content
// security policy allows no inline script.
{
  try {
    const theme = localStorage.getItem("clickwire.theme");
    if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  } catch {
    // A browser that refuses storage shows the system's colours.
  }
  const parsed = new Promise((resolve) => document.addEventListener("DOMContentLoaded", resolve));
  Promise.all([import("/{app.js}"), parsed])
    .then(([app]) => app.default({ module_or_path: "/{app.wasm}" }))
    .catch((error) => {
      console.error(error);
      parsed.then(() => {
        const splash = document.querySelector("#app .splash");
        if (splash) splash.textContent = "The page could not be loaded. Please reload it, or use a current browser.";
      });
    });
}
