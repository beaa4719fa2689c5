"""One composed configuration: overrides, rules for values, errors. Knows Hydra and OmegaConf, but no torch."""
