"""The knowledge base's place: articles, search, MCP server."""
