"""Who may use the operators' port: what stands before everything that it serves."""
