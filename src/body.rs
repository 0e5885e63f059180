//! The body of every answer that the gateway sends, whoever made it.
