"""What a user could take instead, a module for each kind: functions that make a `Side`."""
