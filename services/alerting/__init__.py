"""From assessments to decisions: rules vote, units change level, recipients are told once."""
