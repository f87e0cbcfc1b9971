//! How do we tell people and machines?
