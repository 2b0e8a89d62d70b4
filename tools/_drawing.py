"""A drawing in SVG, small enough for a phone, in colours that follow the reader's choice of light or dark."""

from html import escape

__all__ = ["Drawing"]

# Hues of Okabe and Ito 2008, "Color universal design", as on the pages of runs; lighter on dark. The site sets the same
# names again (docs/assets/site.css), because its switch may differ from what the system prefers.
_STYLE = """
.figure{--ink:#1a1d21;--soft:#555c66;--line:#d5d9df;--paper:#fff;--blue:#0072b2;--orange:#d55e00;--green:#009e73}
@media(prefers-color-scheme:dark){.figure{--ink:#e8eaed;--soft:#a9b0ba;--line:#3a414b;--paper:#15181c;\
--blue:#4fa8e0;--orange:#f0803c;--green:#2fc79b}}
.figure text{font:12px system-ui,sans-serif;fill:var(--ink)}
.figure .soft{fill:var(--soft)}.figure .bold{font-weight:650}
.figure .middle{text-anchor:middle}.figure .end{text-anchor:end}
.figure .paper{fill:var(--paper)}
.figure .blue{fill:var(--blue)}.figure .orange{fill:var(--orange)}.figure .green{fill:var(--green)}
.figure .empty{fill:none;stroke:var(--soft);stroke-dasharray:3 2}
.figure .line{fill:none;stroke:var(--line)}.figure .axis{fill:none;stroke:var(--soft)}
.figure .stroke{fill:none;stroke-width:2}
.figure .stroke.blue{stroke:var(--blue);fill:none}.figure .stroke.orange{stroke:var(--orange);fill:none}
.figure .stroke.ink{stroke:var(--ink);stroke-dasharray:4 3;stroke-width:1.3}
.figure .faint{fill-opacity:.25}
""".strip().replace("\n", "")


class Drawing:
    """Rectangles, words and lines, in pixels of a drawing 360 wide.

    Arguments:
        title: what it shows, for whoever does not see it.
        height: in pixels.
    """

    def __init__(self, title: str, height: int) -> None:
        self.parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" class="figure" viewBox="0 0 360 {height}" role="img" '
            f'aria-label="{escape(title)}">',
            f"<style>{_STYLE}</style>",
            f'<rect class="paper" width="360" height="{height}"/>',
        ]

    def box(self, x: float, y: float, width: float, height: float, kind: str) -> None:
        """A rectangle from its upper left corner; ``kind`` is one or more names of colours and styles."""
        self.parts.append(
            f'<rect class="{kind}" x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="1.5"/>'
        )

    def text(self, x: float, y: float, words: str, kind: str = "") -> None:
        """Words on a line, from x or as ``kind`` says."""
        style = f' class="{kind}"' if kind else ""
        self.parts.append(f'<text{style} x="{x:g}" y="{y:g}">{escape(words, quote=False)}</text>')

    def path(self, d: str, kind: str) -> None:
        """A line by its commands."""
        self.parts.append(f'<path class="{kind}" d="{d}"/>')

    def svg(self) -> str:
        """The file."""
        return "\n".join([*self.parts, "</svg>", ""])
