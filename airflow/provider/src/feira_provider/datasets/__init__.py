"""Files that make a dataset: the manifest that lists them, and reading them whole or not at all."""
