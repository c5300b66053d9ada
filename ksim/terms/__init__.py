"""Terms: the small, frozen pieces that a task is made of."""
