"""What every live widget owes to people who see, hear or type it."""

from __future__ import annotations

from playwright.sync_api import Locator, Page

LOW_CONTRAST = """() => {
    const parts = (color) => {
        const found = color.match(/[\\d.e-]+/g).map(Number);
        const most = color.startsWith('color(') ? 1 : 255;
        return [...found.slice(0, 3).map(v => v / most), found[3] ?? 1];
    };
    const over = (a, b) => {
        const alpha = a[3] + b[3] * (1 - a[3]);
        return [0, 1, 2].map(n => alpha ? (a[n] * a[3] + b[n] * b[3] * (1 - a[3])) / alpha : 0)
            .concat(alpha);
    };
    const seen = (color, element) => {
        for (let e = element; e; e = e.parentElement) {
            const style = getComputedStyle(e);
            color = over(color, parts(style.backgroundColor));
            color[3] *= Number(style.opacity);
        }
        return over(color, [1, 1, 1, 1]);
    };
    const light = (color) => {
        const [r, g, b] = color.map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const contrast = (color, e) => {
        const pair = [seen(parts(color), e), seen([0, 0, 0, 0], e)];
        const [a, b] = pair.map(light).sort((x, y) => y - x);
        return Math.round((a + 0.05) / (b + 0.05) * 100) / 100;
    };
    const written = (e) => e.matches('input, textarea') ? e.value || e.placeholder
        : e.matches('select') ? e.selectedOptions[0]?.label
        : [...e.childNodes].filter(n => n.nodeType === 3).map(n => n.data.trim()).join('');
    const found = [];
    for (const e of document.querySelectorAll('.assistants-live *')) {
        if (!e.offsetParent || e.closest('pre, .heard, option, :disabled') || !written(e)) continue;
        const hint = e.placeholder && !e.value ? '::placeholder' : null;
        const ratio = contrast(getComputedStyle(e, hint).color, e);
        if (ratio < 4.5) found.push([ratio, e.className || e.tagName, written(e).slice(0, 60)]);
    }
    return found.slice(0, 9);
}"""
"""The texts of live widgets, but for code, with a contrast below 4.5 against what is behind them.

Colours that let something through, and the opacity of everything around, are reckoned with.
"""

UNNAMED = """all => all.filter(e => !(e.ariaLabel || e.labels?.length || e.textContent.trim()))
    .map(e => e.outerHTML)"""


def check_names(region: Locator, expected: list[tuple[str, str]]) -> None:
    """A screen reader is told each of these roles and names once, and of no control without one."""
    for role, name in expected:
        found = region.get_by_role(role, name=name, exact=True)  # type: ignore[arg-type]
        assert found.count() == 1, (role, name, found.count())
    controls = region.locator(":is(button, select, input, textarea, [role=group])")
    assert controls.evaluate_all(UNNAMED) == []


def check_width(page: Page, places: str, width: int = 1000) -> None:
    """Nothing is wider than the page; what is inside each of ``places`` stays there."""
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    out = page.locator(places).evaluate_all(
        """all => all.filter(e => e.offsetParent && e.scrollWidth > e.clientWidth + 1)
            .map(e => [e.className, e.scrollWidth, e.clientWidth])"""
    )
    assert out == []
