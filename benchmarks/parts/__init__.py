"""One module for each part of the benchmark, each with a function `measure`."""
