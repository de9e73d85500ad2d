// How JupyterLab and Notebook load the extension: a container with the two calls of Module Federation, written by hand.
// JupyterLab shares all that is needed here, so there is nothing to bundle and nothing to build: the source is what runs.

(() => {
  const FILES = ["braces", "prompts", "names", "code_buttons", "texts", "plugins"];
  const LIBRARIES = {
    view: "@codemirror/view",
    state: "@codemirror/state",
    language: "@codemirror/language",
    codemirror: "@jupyterlab/codemirror",
    notebook: "@jupyterlab/notebook",
    services: "@jupyterlab/services",
    translation: "@jupyterlab/translation",
    apputils: "@jupyterlab/apputils",
    components: "@jupyterlab/ui-components",
  };
  // The query of this script's address changes with its contents, see package.json; all files take it on, because servers
  // let browsers keep them for days.
  const here = new URL(document.currentScript.src);
  let shared = {};

  function isOlder(one, other) {
    const [a, b] = [one, other].map((version) => version.split(/\D+/).map(Number));
    const at = a.findIndex((part, index) => part !== (b[index] ?? 0));
    return at >= 0 && a[at] < (b[at] ?? 0);
  }

  // Of several versions the one that webpack takes for a singleton: what is loaded, else the highest. Another one would be
  // another module, whose tokens and classes JupyterLab does not know.
  async function library(name) {
    const versions = shared[name] ?? {};
    const better = (best, other) => (!best || (!versions[best].loaded && isOlder(best, other)) ? other : best);
    const entry = versions[Object.keys(versions).reduce(better, "")];
    entry.loaded = 1;
    return (await entry.get())();
  }

  async function all(names, load) {
    return Object.fromEntries(await Promise.all(Object.entries(names).map(async ([key, name]) => [key, await load(name)])));
  }

  const load = (name) => import(new URL(`${name}.js${here.search}`, here).href);

  window._JUPYTERLAB ??= {};
  window._JUPYTERLAB["deepseek-magic"] = {
    init(scope) {
      shared = scope;
    },
    async get() {
      // JupyterLab 3 has another editor, and finds no plugin here.
      if (!Object.values(LIBRARIES).every((name) => name in shared)) return () => ({ __esModule: true, default: [] });
      const ours = await all(Object.fromEntries(FILES.map((name) => [name, name])), load);
      const plugins = ours.plugins.plugins(await all(LIBRARIES, library), ours, new URL(`style.css${here.search}`, here).href);
      return () => ({ __esModule: true, default: plugins });
    },
  };
})();
