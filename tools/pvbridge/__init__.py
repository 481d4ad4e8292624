"""Programs of the outside world on PV devices of simulated guests."""
