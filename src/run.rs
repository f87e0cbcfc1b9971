//! How does one run proceed?
