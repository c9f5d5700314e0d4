"""What entities/audit does for entities and files, for what was found on images; and all of it together."""
