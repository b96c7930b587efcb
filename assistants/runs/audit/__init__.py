"""Audits: the proof that a persona reaches the model as it was written."""

from __future__ import annotations

from assistants.runs.audit.auditor import Auditor, AuditResult
from assistants.runs.audit.run_audit import audit, audit_blocker
from assistants.runs.audit.token_counts import CAPS, audit_by_token_counts, without_persona
from assistants.runs.audit.verdicts import AS_WITHOUT, GOOD, MEANS, OPEN, PromptAudit

__all__ = [
    "AS_WITHOUT",
    "CAPS",
    "GOOD",
    "MEANS",
    "OPEN",
    "AuditResult",
    "Auditor",
    "PromptAudit",
    "audit",
    "audit_blocker",
    "audit_by_token_counts",
    "without_persona",
]
