"""What forecast models share: features of rain and level, filters, regressions, trees."""
