"""The rules: one file is one rule, its name is its `kind` in a site file."""
