//! The page of a refusal: HTML, JSON or plain text.
