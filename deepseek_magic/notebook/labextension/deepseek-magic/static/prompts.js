// Cells that begin with %%deepseek: Markdown that wraps, with the first line as the magic it is. This is the editor's dress
// alone: the cell's model, its type for others and its text are never touched.

const HEAD_CHARS = 200;
const MAGIC = /^\s*%%deepseek(_\w+)?(?=\s|$)/;
const RAW = /\s--raw(?=\s|$)/;

export function isPrompt(source) {
  return MAGIC.test(source.slice(0, HEAD_CHARS));
}

function isPromptDoc(doc) {
  return MAGIC.test(doc.sliceString(0, HEAD_CHARS));
}

// JupyterLab's Markdown, in which the line of the magic is a block of its own: it would be a paragraph that the prompt goes
// on with. Dashes below a paragraph part it from what follows, as they do in prompts, and make no heading of it.
function withMagic({ Language }, markdown) {
  const parser = markdown.parser.configure({
    remove: ["SetextHeading"],
    defineNodes: [{ name: "DeepSeekMagic", block: true }],
    parseBlock: [
      {
        name: "DeepSeekMagic",
        before: "IndentedCode",
        parse(context, line) {
          if (context.lineStart !== 0 || !MAGIC.test(line.text)) return false;
          context.addElement(context.elt("DeepSeekMagic", 0, line.text.length));
          context.nextLine();
          return true;
        },
      },
    ],
  });
  return new Language(markdown.data, parser, [], "markdown");
}

export function extension({ view, state, language, codemirror }, languages, names, texts, { places }) {
  const { Decoration, EditorView, ViewPlugin } = view;
  const { Compartment, EditorState, Prec, StateEffect } = state;
  const redraw = StateEffect.define();
  let markdown = null; // loaded at the first prompt
  let loading = null;

  function load() {
    loading ??= languages.getLanguage("text/x-ipythongfm").then((found) => {
      markdown = withMagic(language, found.support.language);
    });
    return loading;
  }

  const magicLine = Decoration.line({ class: "deepseek-magic-line" });

  function marks(doc, known) {
    const text = doc.toString();
    const at = text.search(/\S/);
    const body = text.indexOf("\n", at) + 1;
    const found = !known || !body || RAW.test(text.slice(at, body)) ? [] : places(text.slice(body), known.isKnown);
    // In a cell of another of our magics a name may be a column of a table.
    const isTemplate = MAGIC.exec(text)[1] !== undefined;
    const shown = found.filter(({ doubled, filled }) => !doubled && (filled || !isTemplate));
    const names = shown.map(({ start, end, filled, left, right }) => {
      const title = filled
        ? "The value of this variable is sent in its place."
        : "There is no such variable in the kernel; it is sent as typed.";
      const look = `deepseek-magic-name ${filled ? "mod-known" : "mod-unknown"}`;
      const mark = Decoration.mark({ class: look, attributes: { title: texts.say(title, known.language) } });
      return mark.range(body + start + left, body + end - right);
    });
    return Decoration.set([magicLine.range(doc.lineAt(at).from), ...names]);
  }

  // Draws the marks of one editor, again when it is told that the kernel's names have changed.
  class Marks {
    constructor(editor, model, dress) {
      this.editor = editor;
      this.model = model;
      this.draw(editor.state);
      names.join(this);
      if (!markdown) load().then(() => this.alive && dress(editor));
      this.alive = true;
    }

    draw({ doc }) {
      this.decorations = marks(doc, names.of(this.model));
    }

    update({ docChanged, state: now, transactions }) {
      if (docChanged || transactions.some(({ effects }) => effects.some((one) => one.is(redraw)))) this.draw(now);
    }

    changed() {
      this.editor.dispatch({ effects: redraw.of(null) });
    }

    destroy() {
      this.alive = false;
      names.leave(this);
    }
  }

  function of(model) {
    const clothes = new Compartment();
    const tongue = new Compartment();
    const speak = () => (markdown ? Prec.highest(markdown.extension) : []);
    const dress = (editor) => editor.dispatch({ effects: tongue.reconfigure(speak()) });
    const worn = () => [
      tongue.of(speak()),
      EditorView.lineWrapping,
      EditorView.editorAttributes.of({ class: "deepseek-magic-prompt" }),
      ViewPlugin.define((editor) => new Marks(editor, model, dress), { decorations: (plugin) => plugin.decorations }),
    ];
    const follow = EditorState.transactionExtender.of((change) => {
      if (!change.docChanged) return null;
      const is = isPromptDoc(change.newDoc);
      return is === isPromptDoc(change.startState.doc) ? null : { effects: clothes.reconfigure(is ? worn() : []) };
    });
    return [follow, clothes.of(isPrompt(model.sharedModel.getSource()) ? worn() : [])];
  }

  const { createImmutableExtension } = codemirror.EditorExtensionRegistry;
  return {
    name: "deepseek-magic:prompts",
    factory: ({ model }) => (model.type === "code" ? createImmutableExtension(of(model)) : null),
  };
}
