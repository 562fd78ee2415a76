"""What is written down about requests: an id each, lines of the log, numbers for the metrics, what each token used."""
