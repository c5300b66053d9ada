"""When and how the devices of a run average what they have learned."""
