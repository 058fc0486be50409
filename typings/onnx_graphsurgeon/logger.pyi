class Logger:
    severity: int
    CRITICAL: int

G_LOGGER: Logger
