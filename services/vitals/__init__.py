"""Looks at what no handler knows: feeds, skill, certificates, tokens, disk, clock."""
