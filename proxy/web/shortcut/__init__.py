"""Hits that were answered before, answered again from what is ready: the one shortcut past the rest of the room.

**A lease** (`lease`) is the answer to a request, as bytes: status line, fields, body. It is made of an ordinary response, and
lasts until its meaning changes. While it lasts a request of the same text is answered by one look into a table, one reading of
the clock, the last digits of its own id, and one write.

What a lease promises: it says, but for the request's id, what the ordinary way would say at that moment. What the ordinary way
goes by, and what ends a lease where that changes:

- the *text* of the request: target, method, the fields that are read, what the asker may see and until when. It is the lease's
  key (`request_text`): it cannot change;
- the *entry* in memory. Memory tells of each one that is put, replaced, purged, renamed or evicted, and the leases of that key
  end at once (`table.LeaseTable.end`);
- *whose key* is in use and where its entries are, *what tokens grant*, *which runs have ended* and for how long series have
  stood still, which decides lifetimes: each change of these begins another generation (`proxy.generation`), and a lease is good
  in the one in which it was written;
- *files*: those of the key and of the tokens are looked at whenever a lease is written, and it lasts `LONGEST_S` at most. So
  long at most it may also overlook that time alone has made the lifetimes of a run that has ended others;
- *the clock*: age, ttl and date are in the answer; the lifetime, the request's demand and the grant end. A lease lasts until
  the first moment at which one of these is another. It lies between two readings of the machine's clock: it ends when that
  is set, be it forwards or back by more than it has lasted, and when the machine slept;
- *the settings*: at each switch all leases are forgotten;
- *the client's rate*: it is asked at each request, where there is one.

Nothing else matters: a fresh entry is served in every condition of the upstream (`core.freshness.plan`), be it slow, failing,
refusing the key, or never asked. What has more to tell (dropped parameters, stale answers, parts that a grant may not see,
another order of keys) is never leased.

A lease that has ended by clock or generation alone is judged anew as the ordinary way does, and written anew if it is still the
answer. `leases` finds them by the text of a request or, before it is parsed, by its bytes and where they came from. `table`
keeps them: what they take in memory is counted, and the least used go first. `writing` puts an answer on the socket, past the
transport; `prepared` is how aiohttp's server writes an answer that is bytes already.
"""
