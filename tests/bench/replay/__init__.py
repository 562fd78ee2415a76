"""The dashboard replay: one seeded minute of many viewers, played before each of several caches and before none."""
