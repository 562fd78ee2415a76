"""The only rooms that talk to pluto-api, name aiohttp's client or hold the shared key."""
