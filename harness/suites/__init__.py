"""What entrants are measured on: suites as constants, and from TOML files."""
