"""What a user could take instead: a module for each kind, whose functions make a `Contender`."""
