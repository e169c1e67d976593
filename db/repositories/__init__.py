"""What is written and read, by aggregate. A repository never commits: the session scope does."""
