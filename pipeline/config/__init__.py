"""What the user configures: `deltapress.toml` -> a frozen `Config`.

values   the configuration as values
read     from the file to the values, with all mistakes at once
supposed a configuration with another policy, for what would be if
texts    what the strings of values mean
toml     typed reading of TOML that goes on after a mistake
lines    the line in which a key stands
"""

from .read import ConfigError, parse_config, read_config
from .supposed import suppose
from .values import Config, Order, Policy, Reporting, Repository, SeriesRule

__all__ = [
    "Config",
    "ConfigError",
    "Order",
    "Policy",
    "Reporting",
    "Repository",
    "SeriesRule",
    "parse_config",
    "read_config",
    "suppose",
]
