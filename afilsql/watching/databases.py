"""The metrics of several databases as one collector's, told apart by the label `database`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric


class ByDatabase:
    """Shows what the registries of several databases hold, each sample with its database's name.

    Args:
        registries: By the name of the database; what a scrape finds in them may still be added.
    """

    def __init__(self, registries: Mapping[str, CollectorRegistry]) -> None:
        self._registries = registries

    def describe(self) -> Iterable[Metric]:
        """Return nothing: only the registries know which names are theirs."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """Return the metrics, those of one name together."""
        families: dict[str, Metric] = {}
        for database, registry in self._registries.items():
            for found in registry.collect():
                family = families.setdefault(found.name, Metric(found.name, found.documentation, found.type))
                family.samples += [s._replace(labels={**s.labels, "database": database}) for s in found.samples]
        return families.values()
