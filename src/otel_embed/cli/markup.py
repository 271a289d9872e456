"""HTML that is escaped by construction: whatever is not Html already becomes text."""

from __future__ import annotations

from html import escape


class Html(str):
    """Text that is markup, and not to be escaped again."""

    __slots__ = ()


def el(tag: str, *children: str, **attributes: str | float | None) -> Html:
    """An element. ``class_`` is the attribute class, ``view_box`` viewBox, ``stroke_width`` stroke-width; None is left out."""
    written = "".join(
        f' {_attribute(name)}="{escape(str(value))}"' for name, value in attributes.items() if value is not None
    )
    return Html(f"<{tag}{written}>{join(*children)}</{tag}>")


def join(*children: str) -> Html:
    return Html("".join(child if isinstance(child, Html) else escape(child) for child in children))


def _attribute(name: str) -> str:
    return name.rstrip("_").replace("_", "-")
