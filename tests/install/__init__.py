"""What `make` installs, on a machine that has nothing of ours."""
