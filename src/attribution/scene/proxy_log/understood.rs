//! How much of a proxy's log was understood, and may the rest hide access lines?

use crate::attribution::NotUnderstood;
use crate::evidence::ContainerLog;

/// Plain lines that every proxy may write, such as those of its libraries as it starts.
const PLAIN: u64 = 3;

/// The lines of one proxy's log.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Understood {
    /// Access lines.
    pub(super) access: u64,
    /// Lines in no known format, continuations left out.
    pub(super) unknown: u64,
}

impl Understood {
    /// Most of what may be access lines was not understood: that a request is in none of the others says
    /// nothing of it.
    pub(super) const fn hides_requests(self) -> bool {
        self.unknown > self.access.saturating_add(PLAIN)
    }

    /// What a report tells of it.
    pub(super) fn told(self, log: &ContainerLog) -> Option<NotUnderstood> {
        (self.unknown > 0).then(|| NotUnderstood {
            pod: log.pod.clone(),
            container: log.container.clone(),
            lines: self.unknown,
            of_lines: log.lines.len() as u64,
        })
    }
}
