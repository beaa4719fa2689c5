"""Searches by Optuna: the settings of a trial are drawn, given the results of earlier ones."""
