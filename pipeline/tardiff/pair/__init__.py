"""Which old file serves which new one."""
