// The three plugins, each of which can be disabled alone.

export function plugins(libraries, { braces, prompts, names, code_buttons, texts }, style) {
  const { IEditorExtensionRegistry, IEditorLanguageRegistry } = libraries.codemirror;
  const { INotebookTracker } = libraries.notebook;
  const { ITranslator } = libraries.translation;
  const known = new names.Names(libraries, prompts.isPrompt);
  const words = new texts.Texts();

  function dress() {
    if (document.querySelector(`link[href="${style}"]`)) return;
    document.head.append(Object.assign(document.createElement("link"), { rel: "stylesheet", href: style }));
  }

  return [
    {
      id: "deepseek-magic:prompts",
      description: "Cells that begin with %%deepseek wrap and are highlighted as Markdown.",
      autoStart: true,
      requires: [IEditorExtensionRegistry, IEditorLanguageRegistry],
      optional: [ITranslator],
      activate: (_app, extensions, languages, translator) => {
        dress();
        words.follow(translator);
        extensions.addExtension(prompts.extension(libraries, languages, known, words, braces));
      },
    },
    {
      id: "deepseek-magic:names",
      description: "In prompts, {names} that the kernel knows stand out. Needs deepseek-magic:prompts.",
      autoStart: true,
      requires: [INotebookTracker],
      activate: (_app, notebooks) => known.follow(notebooks),
    },
    {
      id: "deepseek-magic:code-buttons",
      description: "Copy and Insert below on the code of answers.",
      autoStart: true,
      requires: [INotebookTracker],
      optional: [ITranslator],
      activate: (_app, notebooks, translator) => {
        dress();
        words.follow(translator);
        code_buttons.follow(libraries, notebooks, known, words);
      },
    },
  ];
}
