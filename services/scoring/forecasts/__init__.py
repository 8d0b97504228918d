"""How good the forecasts are: issued over pools of simulated sites, scored on what came later."""
