"""Models over HTTP, as OpenAI's API has it, and a page to talk to them."""
