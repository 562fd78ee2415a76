"""HTTP toward the clients.

A request's way, from the top: `connection` takes in bytes and asks the `shortcut` whether they are a hit that was answered
before. If not, aiohttp parses them, and `handler` has the request judged and answered, and accounted for. `router` chooses who
answers: one of the `pages`, or `questions`, which waits for the client's turn, reads the query (`reading`), and has the
`responder` make the response. `gate` says who may ask, `accounting` writes down what was asked, `reply` has the forms of what
goes out, `encryption` the certificate that clients are shown, and `intake` counts what comes in. `assembly` puts the room
together.
"""
