// What is to be read, in English and Chinese; a test compares the Chinese with the catalogue of the Python side.

const CHINESE = {
  "Copy": "复制",
  "Copied.": "已复制。",
  "Insert below": "插入到下方",
  "The value of this variable is sent in its place.": "发送时会替换为这个变量的值。",
  "There is no such variable in the kernel; it is sent as typed.": "内核中没有这个变量，将按原样发送。",
};

export class Texts {
  follow(translator) {
    this.translator = translator ?? this.translator;
  }

  // In the language that JupyterLab or the kernel's side of the package is set to.
  say(text, language) {
    const chinese = language === "zh" || /^zh/i.test(this.translator?.languageCode ?? "");
    return chinese ? CHINESE[text] : text;
  }
}
