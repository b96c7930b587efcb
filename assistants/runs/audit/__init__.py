"""Whether a persona reaches the model as it was written, and how that is known."""

from __future__ import annotations

from assistants.runs.audit.auditor import Auditor, AuditResult
from assistants.runs.audit.run_audit import audit, audit_blocker
from assistants.runs.audit.verdicts import MEANS, PromptAudit

__all__ = ["MEANS", "AuditResult", "Auditor", "PromptAudit", "audit", "audit_blocker"]
