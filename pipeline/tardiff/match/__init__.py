"""What two files share."""
