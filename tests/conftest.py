"""What holds for every test: one profile of hypothesis."""

from hypothesis import HealthCheck, settings

# How long an example takes is the machine's affair: no test may fail because the machine is busy.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")
