"""The upstream budget: which calls to the upstream may go, and when.

    bucket    limits calls a second, with a burst
    pace      learns from 429s how many calls a second the upstream takes
    breaker   stops all calls while the upstream is down or wants quiet: closed, cooling, probing
    line      holds the tickets that wait, and their order
    budget    joins the four: join, admit, finish

All times are of a monotonic clock, in seconds.
"""

from proxy.core.budget.breaker import State
from proxy.core.budget.budget import Budget, BudgetLimits, BudgetState, CallEnd
from proxy.core.budget.line import Priority, Ticket

__all__ = ["Budget", "BudgetLimits", "BudgetState", "CallEnd", "Priority", "State", "Ticket"]
