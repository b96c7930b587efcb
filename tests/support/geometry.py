"""A page as a person sees it, judged by geometry: words broken, texts that overlap, empty boxes."""

from __future__ import annotations

from playwright.sync_api import Page

_FLAWS = r"""
root => {
    const flaws = [];
    const about = e => `<${e.localName}> ${e.textContent.trim().slice(0, 40)}`;
    // `checkVisibility` does not see what a `details` folds away on its own.
    const isSeen = e => e.checkVisibility({contentVisibilityAuto: true, visibilityProperty: true})
        && e.getClientRects().length > 0;
    const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
    const range = document.createRange();
    const boxes = [];
    while (walker.nextNode()) {
        const node = walker.currentNode, owner = node.parentElement;
        if (!node.data.trim() || owner.closest('style') || !isSeen(owner)) continue;
        for (const word of node.data.matchAll(/[\p{L}\p{N}]{2,24}/gu)) {
            range.setStart(node, word.index);
            range.setEnd(node, word.index + word[0].length);
            const lines = new Set([...range.getClientRects()].map(r => Math.round(r.top)));
            if (lines.size > 1) flaws.push(`"${word[0]}" breaks inside the word: ${about(owner)}`);
        }
        range.selectNodeContents(node);
        const scrolls = e => /auto|scroll/.test(getComputedStyle(e).overflowX);
        let folder = owner;
        while (folder && folder !== document.body && !scrolls(folder))
            folder = folder.parentElement;
        const isWithin = folder && folder !== document.body && root.contains(folder);
        for (const r of range.getClientRects()) {
            if (!isWithin && r.right > document.documentElement.clientWidth + 1)
                flaws.push(`cut off at the edge: ${about(owner)}`);
            boxes.push([r, node]);
        }
    }
    const start = node => node.data.trim().slice(0, 30);
    for (let i = 0; i < boxes.length; i++) for (let k = i + 1; k < boxes.length; k++) {
        const [a, one] = boxes[i], [b, other] = boxes[k];
        if (one === other) continue;
        const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
        const high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
        if (wide > 2 && high > 4)
            flaws.push(`"${start(one)}" overlaps "${start(other)}"`);
    }
    const whole = 'dl, ul, ol, table, dt, dd, th, details, article, p, figure';
    for (const e of root.querySelectorAll(whole)) {
        if (isSeen(e) && !e.textContent.trim() && !e.querySelector('img, svg'))
            flaws.push(`empty: <${e.localName}>`);
    }
    for (const table of root.querySelectorAll('table.dataframe')) {
        if (!isSeen(table)) continue;
        const rows = [...table.tBodies[0].rows];
        [...table.tHead.rows[0].cells].forEach((head, i) => {
            if (rows.every(row => !row.cells[i].textContent.trim()))
                flaws.push(`empty column: ${head.textContent}`);
        });
    }
    return flaws;
}
"""


def find_flaws(page: Page, selector: str) -> list[str]:
    """Return what looks broken in the first element of a selector; folded text does not count."""
    flaws: list[str] = page.locator(selector).first.evaluate(_FLAWS)
    return flaws
