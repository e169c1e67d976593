"""Calls about what the exchange holds: orders in doubt, what others do there, and comparisons with our books."""

from __future__ import annotations

from client.transport import Transport, new_key, segment
from domain.exchange_views import ForeignView, OrderEvidenceView, ReconcileNow, ReconciliationView, UnknownOrdersView
from domain.views import Page


class ExchangeCalls(Transport):
    """Part of ``AtsClient``."""

    def unknown_orders(self, *, hours: int | None = None, limit: int | None = None) -> UnknownOrdersView:
        """Orders whose answer was lost: in doubt now, and resolved within the last ``hours`` (wall)."""
        return self._get("/v1/orders/unknown", UnknownOrdersView, {"hours": hours, "limit": limit})

    def order_evidence(self, order_link_id: str) -> OrderEvidenceView:
        """Changes of an order's state, and each look for it while it was in doubt."""
        return self._get(f"/v1/orders/{segment(order_link_id)}/evidence", OrderEvidenceView)

    def foreign(self, *, gone_hours: int | None = None) -> ForeignView:
        """What others hold on the account, also what went within ``gone_hours`` (wall)."""
        return self._get("/v1/foreign", ForeignView, {"gone_hours": gone_hours})

    def reconciliations(self, *, limit: int | None = None, cursor: str | None = None) -> Page[ReconciliationView]:
        """Comparisons that did or found anything, and one an hour, newest first."""
        return self._get("/v1/reconciliations", Page[ReconciliationView], {"limit": limit, "cursor": cursor})

    def reconciliation(self, identity: int) -> ReconciliationView:
        return self._get(f"/v1/reconciliations/{identity}", ReconciliationView)

    def reconcile(self, request: ReconcileNow, *, key: str | None = None) -> ReconciliationView:
        """Compare the whole account now. ``key`` makes the call safe to repeat (made if absent)."""
        headers = {"Idempotency-Key": key or new_key()}
        return self._post("/v1/reconciliations", request, ReconciliationView, headers)
