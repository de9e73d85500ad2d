// Runs first in every frame that the hostile corpus is shown in, and tells the test, by report(kind, what): what ran,
// every element and attribute in an answer that Markdown does not make, and each time an answer is drawn.

(() => {
  const ANSWERS =
    ".jp-RenderedMarkdown, .jupyter-widget-Collapse-contents .widget-html-content, .deepseek-magic-table, " +
    ".deepseek-magic-question, .deepseek-magic-story, .deepseek-magic-error";
  const MADE_BY_MARKDOWN =
    "p, h1, h2, h3, h4, h5, h6, ul, ol, li, blockquote, pre, code, em, strong, del, s, hr, br, div, span, a, dl, dt, dd, " +
    "table, caption, thead, tbody, tr, th, td, input[type=checkbox][disabled], details, summary, small, sub, .deepseek-magic-story b";
  const ITS_ATTRIBUTES = "class id href target rel start align open style scope tabindex data-jupyter-id".split(" ");
  const FORMULA = "mjx-container, .MathJax, .MathJax_CHTML, .MathJax_Preview, .MJXc-display, [id^=MathJax], script[type^='math/']";
  const NOT_IN_FORMULAS = "a, img, image, iframe, object, embed, style, foreignObject, script:not([type^='math/'])";
  const DRAWING = ".jp-RenderedMermaid, .jp-Mermaid";
  const MADE_BY_MERMAID = "figure, figcaption, details, summary, pre, code, div, img:not([src]), img[src^='data:image/svg+xml']";
  const BUTTONS = "pre > .deepseek-magic-code-bar"; // which JupyterLab's extension puts into a block of code
  const MADE_OF = "div, span, button, svg, svg :not(a, image, script, style, foreignObject, use)";

  const told = new Set();
  const tell = (kind, what) => {
    const key = `${kind} ${what}`.slice(0, 300);
    if (kind !== "drawn" && told.has(key)) return;
    told.add(key);
    window.report?.(kind, String(what).slice(0, 300));
  };

  for (const name of ["alert", "confirm", "prompt", "open"]) window[name] = () => tell("ran", name);
  Object.defineProperty(window, "pwned", { set: () => tell("ran", "window.pwned") });

  const leadsAstray = (address) => {
    if (address.startsWith("#")) return false;
    const to = URL.parse(address, document.baseURI);
    if (to === null) return false; // leads nowhere
    if (to.host && to.host === location.host) return !to.pathname.startsWith("/files/http"); // JupyterLab's reading of a broken address
    return !["http:", "https:", "mailto:"].includes(to.protocol);
  };

  const isMade = (element) => {
    if (element.closest(FORMULA)) return !element.matches(NOT_IN_FORMULAS);
    if (element.closest(DRAWING)) return element.matches(MADE_BY_MERMAID);
    return element.matches(element.closest(BUTTONS) ? MADE_OF : MADE_BY_MARKDOWN);
  };

  const isAllowed = (name, value, element) => {
    if (name.startsWith("on")) return false;
    if (name.endsWith("href")) return !leadsAstray(value);
    if (name === "style") return !/url|@import|position: *fixed/i.test(value);
    if (element.closest(FORMULA)) return name !== "class" || !/\b(jp|lm)-/.test(value);
    if (element.closest(BUTTONS)) return true;
    return ITS_ATTRIBUTES.includes(name) || element.closest(DRAWING) || element.localName === "input";
  };

  const judge = (root) => {
    for (const element of [root, ...root.querySelectorAll("*")]) {
      if (!element.parentElement?.closest(ANSWERS)) continue;
      if (!isMade(element)) tell("element", element.outerHTML);
      for (const { name, value } of element.attributes) {
        if (!isAllowed(name, value, element)) tell("attribute", `${name} of ${element.outerHTML}`);
      }
    }
  };

  const judgeAdded = (root) => {
    judge(root);
    if (root.closest(ANSWERS) || root.querySelector(ANSWERS)) {
      for (const [, name] of root.textContent.matchAll(/⟨([\w-]+)⟩/g)) tell("drawn", name);
    }
  };

  new MutationObserver((changes) => {
    if (document.title.includes("pwned")) tell("ran", "document.title");
    for (const { target, addedNodes, type } of changes) {
      if (type === "attributes") judge(target);
      for (const node of addedNodes) if (node.nodeType === Node.ELEMENT_NODE) judgeAdded(node);
    }
  }).observe(document, { subtree: true, childList: true, attributes: true });
})();
