"""segcode inside other tools: what each of them asks a model for. None of these tools is needed for anything else."""
