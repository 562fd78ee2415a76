"""What is recorded about requests: an id for each, lines in the log, metrics, and what each token used."""
