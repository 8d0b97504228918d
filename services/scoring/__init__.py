"""How good the rules are: the service's own functions run over pools of simulated sites."""
