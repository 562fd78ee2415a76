"""The settings that hold now, and how others take their place while the process runs (SIGHUP).

**A setting has one owner.** `current.Settings` holds the configuration, `now`. Whoever needs a setting that can change reads it
from there whenever they need it, and keeps no copy. Who makes something of settings (networks, a rate, a table of lifetimes)
or remembers something that depends on them (hits, requests that were seen) follows: they are called at each switch.

**All or nothing.** `app.reloading` reads the file and the environment, and whatever the new settings name: the token file, the
key. A fault in any of them leaves everything as it was. Once all of it is there, one step switches everything. Nothing in this
step can fail, and nothing in it waits: no request meets a mixture.

**What was under way.** A request keeps its place and its deadline. `Settings.version` tells it that the settings were switched
meanwhile: then it is judged by the new ones before it is answered (`web.gate.guard`), a stored answer is looked up once more
(`web.responder`), and nothing is remembered of it (`web.shortcut.fast`).

**What can't change** is named in the log and goes on as it is until the process is started again. `changeable` says of each
setting whether it can change.
"""

from proxy.settings.current import Settings

__all__ = ["Settings"]
