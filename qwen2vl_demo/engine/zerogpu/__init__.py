"""An engine for Hugging Face ZeroGPU, where a GPU is lent to one call at a time, in a process that is forked for it."""
