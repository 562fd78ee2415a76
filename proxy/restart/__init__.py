"""Zero-downtime restart: a new process takes the listening sockets over from the old one, which ends what it has begun.

| file | subject |
|---|---|
| `restart` | both sides, as the command that serves sees them |
| `handing` | the old process: what it hands over, and when |
| `taking` | the new process: what it takes over, and when |
| `remote` | the old process's tickets, once the new one has the upstream budget |
| `lending` | the same tickets in the new process |
| `purges` | a purge that one of the two is told |
| `link` | messages between the two, in order, some of them acknowledged |
| `messages` | what they tell each other |
| `sockets` | the listening sockets |
| `control` | the Unix socket at which they meet, and whether it is one's own user who comes |

    new                                   old
     │ connects ───────────────────────────> sends its listening sockets, and goes on accepting
     │ GiveFile ───────────────────────────> writes what waits, closes the cache file ──> FileGiven
     │ opens the file, and all else
     │ Ready ──────────────────────────────> hands on what was put meanwhile (Write), then the budget ──> BudgetGiven
     │ accepts connections
     │ Serving ────────────────────────────> accepts none any more ──> Done
     │ removes what the old one leaves       answers what is under way, asks the new one for each call,
     │                                       hands on what it would have written, and ends

Until `Serving` the new process may fail at any point: the old one takes file and budget back, and goes on. Where it does so
because the new one takes too long it says so (`Withdrawn`), and the new one ends. Until `Serving` is acknowledged the files of
Unix sockets, and the control socket, are the old one's. An old one that is gone without a word doesn't go on.
"""
