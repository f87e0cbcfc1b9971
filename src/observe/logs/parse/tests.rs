//! Real lines of every shape, and properties that hold for all lines.

use super::*;

mod agent_lines;
mod samples;
