"""Invented facts in five formats; no model can know them."""

from __future__ import annotations

CANARIES = {
    "What is the maximum age of the Velmar lantern moth?": ("moths.md", "41 days"),
    "Who founded the town of Ostrelin?": ("towns/ostrelin.txt", "Maruta Fenwick"),
    "What is the national dish of Carvonia?": ("carvonia.html", "smoked quellberry"),
    "How tall is the Brask tower?": ("buildings.csv", "217 metres"),
    "When was the Tiller accord signed?": ("accord.pdf", "9 March 1871"),
}
"""Questions, the file that answers each, and the answer; no model can know it."""
