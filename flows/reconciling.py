"""Letting every place follow the ledger: at the start of each run, and as a command."""

from __future__ import annotations

from features.settings import Settings
from flows.job import whoami
from registry.places import Registry
from registry.reconciliation import Reconciliation, reconcile


def put_right() -> Reconciliation:
    """Put back what somebody else moved or lost, and return it together with what needs a person's choice."""
    return reconcile(Registry.open(Settings.load()), whoami())
