"""HTTP server: OpenAI's API for local models, and a web page to chat with them."""
