"""The pieces that replies are made of: one per subject, in English and Chinese, each with the words that call for it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

__all__ = ["SECTIONS", "Section", "unsafe"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A piece of an answer. ``words`` are looked for in the prompt; English ones as whole words, with plural."""

    words: tuple[str, ...]
    english: str
    chinese: str

    def wanted(self, prompt: str) -> bool:
        """Whether the prompt asks for this piece."""
        for word in self.words:
            if word.isascii():
                if re.search(rf"\b{re.escape(word)}s?\b", prompt, re.IGNORECASE):
                    return True
            elif word in prompt:
                return True
        return False


MARKDOWN: Final = Section(
    words=("markdown", "format", "list", "标题", "列表", "排版"),
    english="""\
### Markdown

A model answers in **Markdown**, and the notebook renders it while it arrives:

1. *emphasis*, **strong text**, `inline code`
2. lists, also nested
   - like this one
   - and this one
3. [links](https://jupyter.org) and quotes

> What you see growing on the screen is one stream of small pieces.""",
    chinese="""\
### Markdown 排版

模型用 **Markdown** 回答，笔记本边收边渲染：

1. *强调*、**加粗**、`行内代码`
2. 列表可以嵌套
   - 像这样
   - 也可以这样
3. [链接](https://jupyter.org) 与引用

> 屏幕上逐字增长的文字，就是一条由小片段组成的流。""",
)

TABLE: Final = Section(
    words=("table", "compare", "comparison", "表格", "比较", "对比"),
    english="""\
| Planet | Distance from the Sun (AU) | Year (Earth years) | Moons |
|:-------|---------------------------:|-------------------:|------:|
| Earth  | 1.00 | 1.00 | 1 |
| Mars   | 1.52 | 1.88 | 2 |
| Jupiter | 5.20 | 11.86 | 95 |

Kepler saw it in such a table: the square of the year grows like the cube of the distance.""",
    chinese="""\
| 行星 | 与太阳的距离（天文单位） | 一年（地球年） | 卫星 |
|:-----|------------------------:|---------------:|-----:|
| 地球 | 1.00 | 1.00 | 1 |
| 火星 | 1.52 | 1.88 | 2 |
| 木星 | 5.20 | 11.86 | 95 |

开普勒正是从这样的表中看出：周期的平方与距离的立方成正比。""",
)

CODE: Final = Section(
    words=("code", "python", "function", "program", "script", "sort", "代码", "程序", "函数", "编程"),
    english='''\
Here is a small Python function; run it in the next cell:

```python
def primes(limit: int) -> list[int]:
    """All primes below ``limit``, by the sieve of Eratosthenes."""
    sieve = bytearray([1]) * limit
    sieve[:2] = b"\\0\\0"
    for n in range(2, int(limit**0.5) + 1):
        if sieve[n]:
            sieve[n * n :: n] = bytes(len(range(n * n, limit, n)))
    return [n for n, prime in enumerate(sieve) if prime]


print(primes(30))  # [2, 3, 5, 7, 11, 13, 17, 19, 23, 29]
```''',
    chinese='''\
下面是一个 Python 小函数，可以在下一个单元格里运行：

```python
def primes(limit: int) -> list[int]:
    """小于 limit 的全部素数（埃拉托斯特尼筛法）。"""
    sieve = bytearray([1]) * limit
    sieve[:2] = b"\\0\\0"
    for n in range(2, int(limit**0.5) + 1):
        if sieve[n]:
            sieve[n * n :: n] = bytes(len(range(n * n, limit, n)))
    return [n for n, prime in enumerate(sieve) if prime]


print(primes(30))  # [2, 3, 5, 7, 11, 13, 17, 19, 23, 29]
```''',
)

FORMULA: Final = Section(
    words=("latex", "formula", "equation", "integral", "math", "mathematics", "derive", "公式", "方程", "积分", "数学"),
    english=r"""
A formula inside a sentence, such as \( e^{i\pi} + 1 = 0 \), and one on its own line. The area under the bell curve:

$$
\int_{-\infty}^{\infty} e^{-x^2}\,dx = \sqrt{\pi}
$$

It follows from squaring the integral and going over to polar coordinates \( (r, \varphi) \):

\[
\left(\int_{-\infty}^{\infty} e^{-x^2}\,dx\right)^{2} = \int_0^{2\pi}\!\int_0^\infty e^{-r^2}\, r\,dr\,d\varphi = \pi .
\]""".lstrip("\n"),
    chinese=r"""
句中的公式，例如 \( e^{i\pi} + 1 = 0 \)；也可以单独成行。钟形曲线下的面积：

$$
\int_{-\infty}^{\infty} e^{-x^2}\,dx = \sqrt{\pi}
$$

把积分平方，再换成极坐标 \( (r, \varphi) \) 即得：

\[
\left(\int_{-\infty}^{\infty} e^{-x^2}\,dx\right)^{2} = \int_0^{2\pi}\!\int_0^\infty e^{-r^2}\, r\,dr\,d\varphi = \pi .
\]""".lstrip("\n"),
)

CHINESE: Final = Section(
    words=("chinese", "translate", "translation", "翻译", "诗"),
    english="""\
A poem by Wang Zhihuan (688–742), with its sense in English:

> 白日依山尽，黄河入海流。
> 欲穷千里目，更上一层楼。

*The white sun sets behind the hills; the Yellow River flows into the sea. To see a thousand miles further, climb one more storey.*""",
    chinese="""\
王之涣（688–742）的《登鹳雀楼》：

> 白日依山尽，黄河入海流。
> 欲穷千里目，更上一层楼。

*The white sun sets behind the hills; to see further, climb one more storey.*""",
)

STREAM: Final = Section(
    words=("stream", "streaming", "sse", "token", "流式", "令牌"),
    english="""\
How this answer reached you:

- the server sends **server-sent events**: lines `data: {…}`, a blank line after each
- every event holds a few characters, a *token* or two; nothing waits for the whole answer
- the last piece carries a `finish_reason` and the `usage`, then comes `data: [DONE]`

If the line breaks before that, the answer is incomplete, however finished it looks.""",
    chinese="""\
这段回答是这样到达的：

- 服务器发送 **server-sent events**：一行 `data: {…}`，后跟一个空行
- 每个事件只有几个字，大约一两个 *token*，不必等全文写完
- 最后一段带着 `finish_reason` 与 `usage`，然后是 `data: [DONE]`

如果连接在此之前断开，那么回答看上去再完整，也是不完整的。""",
)

SECTIONS: Final = (MARKDOWN, TABLE, CODE, FORMULA, CHINESE, STREAM)


def unsafe() -> str:
    """Text that a hostile page might put into an answer; a renderer that runs any of it is broken."""
    return _UNSAFE


_UNSAFE: Final = """\
This answer tries to run code in your notebook. Nothing of it may happen: each trick would set `window.pwned`.

<img src=x onerror="window.pwned=1">

<script>window.pwned=2</script>

[a link that is code](javascript:window.pwned=3) and [the same in disguise](JaVaScRiPt&#58;window.pwned=4)

<a href="javascript:window.pwned=5" onclick="window.pwned=6">click me</a>

<svg onload="window.pwned=7"><circle r="9" /></svg>

<iframe srcdoc="<script>parent.pwned=8</script>"></iframe>

![picture](x" onerror="window.pwned=9)

<details open ontoggle="window.pwned=10"><summary>more</summary></details>

<div style="position:fixed;inset:0;background:url('javascript:window.pwned=11')" class="jp-mod-danger">overlay</div>

<form action="https://example.invalid/steal"><input name="key" autofocus onfocus="window.pwned=12"></form>

```html
<script>window.pwned = "in a code block this is only text"</script>
```

Formula with a trap: $\\href{javascript:window.pwned=13}{x}$ and `<b>inline code</b>`.

The text after the tricks must still be here: **end of the unsafe answer**."""
