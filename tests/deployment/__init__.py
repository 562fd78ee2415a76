"""The files in `deploy/`: what they name exists. `deploy/check` has the programs that they are for look at them."""
