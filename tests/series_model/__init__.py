"""The series engine against the oracle: `model` has the events, `status_rules` those of the run's status, `promise` judges."""
