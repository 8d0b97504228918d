"""What the forecasts of a site would have been worth: its past replayed, and judged by itself."""
