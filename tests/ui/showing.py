"""Pages run as the server runs them, and what they say."""

from __future__ import annotations

from pathlib import Path

from streamlit.testing.v1 import AppTest

_ENTRY = Path("ui/app.py").resolve()


def page(name: str = "assets", **query: str) -> AppTest:
    """The page, run once; ``query`` is what stands in its address."""
    shown = AppTest.from_file(_ENTRY, default_timeout=30)
    for key, value in query.items():
        shown.query_params[key] = value
    if name != "assets":
        shown.switch_page(f"app_pages/{name}.py")
    shown.run()
    assert not shown.exception
    return shown


def texts(shown: AppTest) -> str:
    """Everything it says in words."""
    elements = [*shown.markdown, *shown.caption, *shown.info, *shown.error, *shown.warning]
    return "\n".join(str(element.value) for element in elements)


def figures(shown: AppTest) -> dict[str, str]:
    """Its metrics by label."""
    return {metric.label: metric.value for metric in shown.metric}
