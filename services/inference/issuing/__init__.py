"""From a site's archive to the forecasts that are issued of it: fits, the ladder, events."""
