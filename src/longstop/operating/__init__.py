"""What people ask and decide, and what they are told: replay, dry run, alerts."""
