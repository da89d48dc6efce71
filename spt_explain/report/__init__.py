"""What leaves the program: tables with their provenance."""
