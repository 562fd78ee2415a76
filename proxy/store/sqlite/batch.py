"""What one transaction writes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from proxy.core.freshness.purge import Purge
from proxy.store.sqlite.codec import Row


@dataclass(frozen=True, slots=True, kw_only=True)
class Adoption:
    """A key fingerprint belongs to an organization: its entries move from `old_namespace` to `new_namespace`."""

    upstream: str
    fingerprint: str
    organization: str
    old_namespace: str
    new_namespace: str

    @property
    def is_storable(self) -> bool:
        """Whether a file can hold it. Text with a lone surrogate cannot be stored: it would fail every batch that it is in."""
        texts = (self.upstream, self.fingerprint, self.organization, self.old_namespace, self.new_namespace)
        return all(text == text.encode(errors="replace").decode() for text in texts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What one transaction does, in this order:

    1. It carries out `adoptions` and `purges`.
    2. It deletes `damaged` rows, by id and the seal that was read.
    3. It deletes the entries under `superseded` keys: namespace, key, and the `sent_at_s` of a newer entry that is not stored.
    4. It notes `touches`, the wall time at which an id was last used. This precedes evicting the least recently used.
    5. It puts `rows`, making room for them first.
    """

    rows: Sequence[Row] = ()
    superseded: Sequence[tuple[str, str, float]] = ()
    touches: Mapping[int, float] = field(default_factory=dict)
    damaged: Sequence[tuple[int, object]] = ()
    adoptions: Sequence[Adoption] = ()
    purges: Sequence[Purge] = ()
