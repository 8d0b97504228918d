"""MUSEnetC: a network that corrects the daily rates which Kalman + transfer function expects."""
