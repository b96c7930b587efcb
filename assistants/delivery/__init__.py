"""Whether a persona reaches the model as it was written, and how that is known."""

from __future__ import annotations

from assistants.delivery.asked import audit, hidden
from assistants.delivery.audit import Audited, Auditor
from assistants.delivery.verdicts import MEANS, Delivery

__all__ = ["MEANS", "Audited", "Auditor", "Delivery", "audit", "hidden"]
