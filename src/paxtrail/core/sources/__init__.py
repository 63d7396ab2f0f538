"""One decoder per source: bytes and CloudEvents attributes in; drafts of events, or a refusal, out."""
