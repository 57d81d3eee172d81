"""What else you may switch on: one file for each, or one folder. None of them knows another."""
