"""The mutants of the shortcut.

Left out, since they cannot matter:

- in `Leases.remember`, the check for a status of 200: memory holds no other entry, and what it doesn't hold is not leased;
- in `Leases._holds`, the check that there is an entry at all: None is never the lease's own;
- in `Leases.remember` and in `Leases._holds`, whether the entry is the one in memory: either would do, and memory tells of each
  other one, which ends the lease;
- in `Leases.remember`, the version of the settings: who waited was judged once more, and no answer is a hit that was asked for
  before a switch and came after it;
- in `Boundary`, the count of empty lines: no bytes are known whose last one ends a head that the parser has not given out, but
  for requests that it holds back, and those are waited for;
- in `Leases._holds`, whose key it is: another one of the same organization reads the same, and of others the namespace tells;
- in `Leases._holds`, the check for the namespace: what is renamed is put anew, which ends its leases;
- in `Leases.end`, taking the lease out of `_of_entry`: the next one under its key is another object;
- the end of the generation in `Tokens.renew`, or that leases are forgotten when the settings switch: a reload does both, and
  either would do;
- in `Lease.renew`, the bound by the grant's end: that is a whole second, at which the date is another one as well;
- in `Lease.renew`, the last moment itself: without it a lease ends a moment early, and is written anew.
"""

from tests.mutants.runner import Mutant

_FOLDER = "tests/web/shortcut"
_ENDS = f"{_FOLDER}/test_lease_ends.py"
_BYTES = f"{_FOLDER}/test_lease_bytes.py"
_LEASES = f"{_FOLDER}/test_leases.py"
_EVENTS = f"{_FOLDER}/test_lease_events.py"
_BETWEEN = "tests/web/connection/test_boundary.py"
_RELOAD = f"{_FOLDER}/test_lease_reload.py"
_WIRES = f"{_FOLDER}/test_lease_connections.py"
TESTS = (_EVENTS, _ENDS, _BYTES, _LEASES, _RELOAD, _WIRES, _BETWEEN)
_USUAL = (_EVENTS, _ENDS, _LEASES)

_MEMORY, _LEASE, _ALL = "store/memory.py", "web/shortcut/lease.py", "web/shortcut/leases.py"
_KNOWN, _SIGHTINGS = "service/lifetimes/known_runs.py", "service/lifetimes/sightings.py"
_TEXT, _SERVER, _BOUNDARY = "web/shortcut/request_text.py", "web/connection/server.py", "web/connection/boundary.py"
_TENANCY, _TOKENS, _WRITING = "service/tenancy.py", "service/access/tokens.py", "web/shortcut/writing.py"


def _mutant(file: str, old: str, new: str = "", *tests: str) -> Mutant:
    return Mutant(file, old, new, tests or _USUAL)


MUTANTS = [
    # What ends a lease, left out.
    _mutant(_MEMORY, "__setitem__(key, held)\n        self._changed(key)", "__setitem__(key, held)"),
    _mutant(_MEMORY, "__delitem__(key)\n        self._changed(key)", "__delitem__(key)"),
    _mutant(_MEMORY, "for key in keys:\n            self._changed(key)", "for key in keys:\n            pass"),
    _mutant(_KNOWN, "self._generation.end()\n        lists = ", "lists = "),
    _mutant(_KNOWN, "self._generation.end()\n        run = self.run(key)\n        if", "run = self.run(key)\n        if"),
    _mutant(_KNOWN, "self._generation.end()\n        run = self.run(key)\n        run", "run = self.run(key)\n        run"),
    _mutant(_SIGHTINGS, "!= before_s:\n            self._generation.end()", "!= before_s:\n            pass"),
    _mutant(_TOKENS, "        self._ending.end()\n", ""),
    _mutant(_TOKENS, "        self._generation += 1\n", ""),
    _mutant(_TENANCY, "-> Tenant:\n        self._generation.end()", "-> Tenant:"),
    _mutant(
        _TENANCY, "tenant.move(namespace, organization)\n        self._generation.end()", "tenant.move(namespace, organization)"
    ),
    _mutant(_ALL, "self._stopped = True\n        self._forget()", "self._stopped = True", _BYTES),
    _mutant(_ALL, "if self._stopped or ", "if ", _BYTES),
    # The bounds of a lease.
    _mutant(_LEASE, "next_s = [entry.sent_at_s + age + 1, ", "next_s = ["),
    _mutant(_LEASE, "second + 1, "),
    _mutant(_LEASE, ", now_s + LONGEST_S", ""),
    _mutant(_LEASE, "last_s = [entry.sent_at_s + self._oldest_s]", "last_s = [math.inf]"),
    _mutant(_LEASE, "last_s.append(now_s + (ttl_s - ttl))", "pass"),
    _mutant(_LEASE, "next_s.append(now_s + ttl_s)", "pass"),
    _mutant(_LEASE, "now_s - entry.sent_at_s <= self._oldest_s and ", ""),
    _mutant(_LEASE, " and now_s < self._expires_at_s", ""),
    # The look into the table.
    _mutant(_ALL, "not lease.since_s <= self._machine_s() < lease.until_s", "not self._machine_s() < lease.until_s"),
    _mutant(_ALL, "not lease.since_s <= self._machine_s() < lease.until_s", "False"),
    _mutant(_ALL, "            or lease.generation != self._generation.number\n"),
    _mutant(_ALL, "            or lease.ids == BATCH\n"),
    _mutant(_ALL, "if lease.since_s <= machine_s < lease.until_s and", "if lease.until_s > machine_s and"),
    _mutant(_ALL, " and lease.generation == generation and", " and"),
    _mutant(_ALL, "            or not lease.accepts(entry, now_s)\n"),
    _mutant(_ALL, "            or judge(entry, now_s, lifetimes) is not Verdict.FRESH\n"),
    _mutant(_ALL, "        lease.ids += 1\n", "", _BYTES),
    _mutant(_ALL, "if seen.client is not None and not", "if False and not"),
    _mutant(_ALL, "client=client if self._limits.has_rate else None", "client=None"),
    _mutant(
        _ALL,
        "        if not self._limits.take_at_once(client",
        "        if False and not self._limits.take_at_once(client",
    ),
    _mutant(_ALL, 'self._remember((request.remote or "", raw)', 'self._remember(("127.0.0.1", raw)'),
    # What may be leased.
    _mutant(_ALL, "answer.outcome.kind is not Kind.HIT or ", ""),
    _mutant(_ALL, " or answer.outcome.detail or query.unknown", " or answer.outcome.detail"),
    _mutant(_ALL, "or length_of(text) > LONGEST:", ":"),
    # The key of a lease.
    *(
        _mutant(_TEXT, f'"{name}"', '"X-None"')
        for name in ("Host", "Origin", "Accept-Encoding", "If-None-Match", "Cache-Control", "Pragma")
    ),
    _mutant(_TEXT, "(target, request.method, ", "(target, "),
    _mutant(_TEXT, "return (target, request.method", 'return ("", request.method'),
    _mutant(_TEXT, "grant.visibility, ", ""),
    _mutant(_TEXT, "grant.expires_at_s, ", ""),
    _mutant(_TEXT, "request.version != HttpVersion11 or ", "", _WIRES),
    _mutant(_TEXT, "not request.keep_alive or ", "", _ENDS, _WIRES),
    _mutant(_TEXT, "request.body_exists or ", "", _WIRES, _BYTES),
    _mutant(_TEXT, "tuple(getall(name, ()))", "getall(name, ('',))[0]"),
    # Counts, and what goes out.
    _mutant("web/assembly.py", "    deferred.add(leases.settle)\n", "", _WIRES),
    _mutant(_ALL, "            self._settle(seen)\n            seen.take(lease)", "            seen.take(lease)", _EVENTS),
    _mutant(_ALL, "            self._uncounted.append(seen)", "            pass", _WIRES, _BYTES),
    _mutant(_ALL, "        if sent != lease.whole_bytes:\n            outlet.leave(lease, sent)\n", "", _ENDS, _BYTES),
    _mutant(_WRITING, "if sent < lease.whole_bytes:", "if False:", _ENDS, _BYTES),
    _mutant(_WRITING, "memoryview(lease.body)[sent - head_bytes :]", "lease.body", _ENDS, _BYTES),
    # Where a request begins.
    _mutant(_BOUNDARY, "self._ends and self._empty_lines", "self._empty_lines", _BETWEEN, _BYTES),
    _mutant(_BOUNDARY, " and not self._has_body", "", _BETWEEN, _BYTES),
    _mutant(_SERVER, "stays and not self._messages and", "stays and", _BYTES),
    _mutant(_SERVER, "self._idle = stays and", "self._idle =", _BYTES),
    _mutant(_SERVER, "            and not transport.get_write_buffer_size()\n", "", _BYTES),
]
