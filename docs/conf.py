"""How Sphinx builds the documentation: `make docs`.

The source directory is the repository itself, since its pages link to each other across folders: docs, deploy and the root.
"""

from proxy import __version__

project = "pluto-proxy"
release = version = __version__
extensions = ["myst_parser"]
root_doc = "docs/index"
include_patterns = ["*.md", "docs/**.md", "deploy/**.md"]
# What is pruned here isn't even walked through.
exclude_patterns = [".*", "build", "node_modules", "proxy", "tests", "tools"]

# Links name headings as code hosts do.
myst_heading_anchors = 4
myst_links_external_new_tab = False

# What is typed must stay what is to be typed.
smartquotes = False

html_theme = "furo"
html_title = f"pluto-proxy {release}"
html_copy_source = html_show_sourcelink = False
html_show_copyright = False
