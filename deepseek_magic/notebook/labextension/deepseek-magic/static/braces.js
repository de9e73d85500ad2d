// Which names in braces a prompt fills: the rule of protocol/template.py, with text/contexts.py and text/fences.py, in the
// same order and under the same names. A test compares the two on the same texts.

const WORD = "[\\p{L}\\p{N}_]";
const NAME = `[\\p{L}\\p{Nl}\\p{No}_]${WORD}*`;
const STEP = `\\.${NAME}|\\[(?:-?\\p{Nd}+|(?:-?\\p{Nd}+)?:(?:-?\\p{Nd}+)?|"[^"\\\\\\n]*"|'[^'\\\\\\n]*')\\]`;
const PATH = new RegExp(`(?<!\\{)(\\{+)(?:(${NAME})((?:${STEP})*)|([^{}\\n]{1,200}))(\\}+)`, "gu");

const CODE_SPAN = /(?<!`)(`+)(?!`)[^\n]+?(?<!`)\1(?!`)/g;
const BRACES = /\\[^]|[{}]/g;
const TEX = /\\[A-Za-z]+\*?(?=[[{_^])|(?:(?<![A-Za-z0-9])[A-Za-z0-9]|[)\]|'])(?=[_^]\{)|(?=\^\{)/g;
const SIGNS = /\$\$|\\[[\]()]/g;
const CLOSING = { $$: "$$", "\\[": "\\]", "\\(": "\\)" };
const PLAIN_SCRIPT = /[_^](?:\\[A-Za-z]+|[^\s{}\\])/y;
const DOLLARS = /(?<![\\$])\$(?=[^\s$])[^$\n]*?(?<=[^\s\\])\$(?!\d)/g;
const OPTIONAL = /\[[^\]\n]{0,200}\](?=[[{])/y;

const LINE = /[^\n\r\v\f\x1c-\x1e\x85\u2028\u2029]*(?:\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]|$)/g;
const LINE_END = /[\r\n]+$/;
const CONTAINERS = /^[ \t>]*(?:(?:[-*+]|\d{1,9}[.)])[ \t]+)*/;
const OPENING = /^(?:(`{3,})[^`]*|(~{3,})[^]*)$/;
const CODE_INDENT = 4;

function closes(mark, line) {
  const rest = line.replace(/^ +/, "");
  const run = rest.replace(/[ \t]+$/, "");
  return line.length - rest.length < CODE_INDENT && run.length >= mark.length && [...run].every((one) => one === mark[0]);
}

function codeSpans(text) {
  const spans = [];
  let mark = null;
  let lead = null;
  let at = 0;
  for (const [line] of text.matchAll(LINE)) {
    const bare = line.replace(LINE_END, "");
    if (mark === null) {
      const container = CONTAINERS.exec(bare)[0];
      const opened = OPENING.exec(bare.slice(container.length));
      if (opened) {
        mark = opened[1] ?? opened[2];
        lead = new RegExp(`^[ \\t${container.includes(">") ? ">" : ""}]{0,${container.length}}`);
        spans.push([at, at + line.length]);
      } else {
        for (const span of line.matchAll(CODE_SPAN)) spans.push([at + span.index, at + span.index + span[0].length]);
      }
    } else {
      if (closes(mark, bare.replace(lead, ""))) mark = null;
      spans.push([at, at + line.length]);
    }
    at += line.length;
  }
  return spans;
}

function texSpans(text) {
  const closing = new Map();
  const opened = [];
  for (const brace of text.matchAll(BRACES)) {
    if (brace[0] === "{") opened.push(brace.index);
    else if (brace[0] === "}" && opened.length) closing.set(opened.pop(), brace.index + 1);
  }
  const commands = Array.from(text.matchAll(TEX), ({ 0: command, index }) => [index, index + command.length, 0]);
  const spans = [];
  let end = 0;
  for (const [start, after, whole] of [...commands, ...formulas(text)].sort(([one], [other]) => one - other)) {
    const until = start < end ? 0 : whole || argumentsEnd(text, after, closing);
    if (until > after) {
      spans.push([start, until]);
      end = until;
    }
  }
  return spans;
}

function formulas(text) {
  const found = [];
  let begun = null;
  for (const { 0: sign, index } of text.matchAll(SIGNS)) {
    const after = index + sign.length;
    const closes = begun && sign === CLOSING[begun.sign] && text[after] !== "{";
    if (closes && !text.slice(begun.after, index).includes("\n\n")) {
      found.push([begun.index, begun.after, after]);
      begun = null;
    } else if (sign in CLOSING) {
      begun = { sign, index, after };
    }
  }
  return found;
}

function matchAt(pattern, text, at) {
  pattern.lastIndex = at;
  return pattern.exec(text);
}

function argumentsEnd(text, at, closing) {
  for (;;) {
    if (closing.has(at)) at = closing.get(at);
    else if ("_^".includes(text[at] ?? " ") && closing.has(at + 1)) at = closing.get(at + 1);
    else {
      const found = matchAt(PLAIN_SCRIPT, text, at) ?? matchAt(OPTIONAL, text, at);
      if (!found) return at;
      at += found[0].length;
    }
  }
}

// Of spans in their order, none over another.
function isWithin(spans, at) {
  let [low, high] = [0, spans.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (spans[middle][0] <= at) low = middle + 1;
    else high = middle;
  }
  return low > 0 && at < spans[low - 1][1];
}

// Whether nothing else is on the line of code, or in the code span.
function isAlone(text, start, end) {
  const before = text.slice(text.lastIndexOf("\n", start - 1) + 1, start);
  const after = text.slice(end).split("\n", 1)[0];
  return !(before + after).trim() || (before.endsWith("`") && after.startsWith("`"));
}

// Each place in `text` whose name is filled, or would be if the kernel knew it (`isKnown` says which): where it is, the
// name, whether it is `filled`, and how many braces around it (`left`, `right`) are sent. Doubled braces mean the name
// itself and are `doubled`.
export function places(text, isKnown) {
  const code = codeSpans(text);
  const tex = /[\\{]/.test(text) ? texSpans(text) : [];
  const dollars = Array.from(text.matchAll(DOLLARS), ({ 0: { length }, index }) => [index, index + length]);
  const found = [];
  for (const match of text.matchAll(PATH)) {
    const [all, opened, first, steps, other, closed] = match;
    const whole = other ?? first + steps;
    const name = isKnown(whole) ? whole : first;
    if (name === undefined) continue;
    const [start, end] = [match.index, match.index + all.length];
    const filled = isKnown(name);
    const inCode = isWithin(code, start);
    const kept = inCode ? !isAlone(text, start, end) : isWithin(tex, start);
    // Between dollars braces may group, and after one they are a shell's.
    const strange = inCode || text[start - 1] === "$" || isWithin(dollars, start);
    if (kept || (strange && !filled)) continue;
    const pairs = Math.min(opened.length, closed.length);
    const half = Math.floor(pairs / 2);
    const [left, right] = [opened, closed].map((braces) => braces.length - pairs + half);
    found.push({ start, end, name, filled, doubled: pairs % 2 === 0, left, right });
  }
  return found;
}
