"""Many networks at once: on the cores of one machine, or as the jobs of a pipeline."""
