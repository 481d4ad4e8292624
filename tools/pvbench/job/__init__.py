"""What every device class is measured with: options, job files, runs, processes, results."""
