"""The comparisons, a module each: `comparison` in it is what is measured. Its name, with dashes,
is the row's."""
