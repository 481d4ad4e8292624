"""Results of any device class as a table, as fio's JSON and as fio's terse lines."""
