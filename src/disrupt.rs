//! What do we change, and how is it undone?
