"""Who does the work. An executor takes a plan's tasks to shards in the store; results do not depend on which one does."""
