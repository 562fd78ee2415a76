"""The upstream budget: who may ask the upstream, and when. Pure: the time comes in as an argument, tickets come out.

    bucket    so many calls a second, with a burst
    pace      how many a second the upstream turns out to take
    breaker   closed, cooling, probing
    line      who waits, in which order they go
    budget    the four together: join, admit, finish

All times are of a monotonic clock, in seconds.
"""

from proxy.core.budget.breaker import State
from proxy.core.budget.budget import Budget, BudgetLimits, CallEnd
from proxy.core.budget.line import Priority, Ticket

__all__ = ["Budget", "BudgetLimits", "CallEnd", "Priority", "State", "Ticket"]
