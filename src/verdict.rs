//! Do the gates hold, and do we know enough to say?
